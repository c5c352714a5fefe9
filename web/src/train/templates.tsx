// The panel "Templates": the rows of W as pictures.
import { Choice, Formula, Panel } from "../ui/controls";
import { shown } from "../ui/numbers";
import { bytesOf, Pixels } from "../ui/pixels";
import { job, templates, unit } from "./live";
import { state } from "./state";

export function TemplatesPanel() {
  const found = templates.value;
  const now = job.value;
  if (!found) return null;
  const bytes = bytesOf(state.view.value === "color" ? found.color : found.signed);
  const size = found.height * found.width * (state.view.value === "color" ? 3 : 1);
  const live = now?.running && found.run === now.run;
  return (
    <Panel
      title={`Templates${live && found.epoch !== null ? `, ${unit.value} ${shown(found.epoch, 4)}` : ""}`}
      help={
        <>
          <Formula>s_k = W_k x + b_k</Formula>: each row <Formula>W_k</Formula> as a picture
          {state.view.value === "color"
            ? "; grey is 0, a colour raises the score of the class."
            : `, channels summed; blue: light here raises the score, red: it lowers it. The colours end at ±${shown(found.limit, 2)}.`}
        </>
      }
    >
      <Choice
        label="Drawn as"
        value={state.view}
        choices={
          [
            ["color", "colours"],
            ["signed", "signs"],
          ] as const
        }
      />
      <ul class="templates">
        {found.class_names.slice(0, bytes.length / size).map((name, k) => (
          <li>
            <Pixels
              height={found.height}
              width={found.width}
              bytes={bytes.subarray(k * size, (k + 1) * size)}
              kind={state.view.value}
              label={`template of ${name}`}
            />
            <span>{name}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
