// The panel "Nearest training images".
import { useId } from "preact/hooks";
import { Choice, Failure, Formula, Panel } from "../ui/controls";
import { shown, typed } from "../ui/numbers";
import { nearest, nearestFailure, opened } from "./live";
import { Shown } from "./picture";
import { METRICS, state } from "./state";

export function NeighboursPanel() {
  const now = nearest.value;
  const subject = opened.value;
  const id = useId();
  if (!subject?.n_train) return null;
  return (
    <Panel
      title="Nearest training images"
      help={
        now ? (
          <>
            By <Formula>{state.metric.value === "l2" ? "d = (Σ (x_i − x′_i)^2)^{1/2}" : "d = Σ |x_i − x′_i|"}</Formula>{" "}
            over all pixels, whatever the model; <b data-test="vote">{now.vote}</b> has the most votes.
          </>
        ) : (
          "searching ..."
        )
      }
    >
      <div class="row">
        <Choice label="Distance" value={state.metric} choices={METRICS} />
        <div class="control inline">
          <label for={id}>neighbours</label>
          <input
            id={id}
            class="number seed"
            type="number"
            min={1}
            max={30}
            step={1}
            value={state.k.value}
            onChange={(event) => {
              const value = typed(event.currentTarget.value);
              if (value !== undefined) state.k.value = Math.min(30, Math.max(1, Math.round(value)));
              event.currentTarget.value = String(state.k.value);
            }}
          />
        </div>
      </div>
      <Failure message={nearestFailure} />
      <ul class="thumbs" data-test="neighbours">
        {now?.items.map((item) => (
          <li class="still">
            <Shown picture={item.picture} label={`training image ${item.position}: ${item.name}`} />
            {item.name}
            <br />d {shown(item.distance, 4)}
          </li>
        ))}
      </ul>
    </Panel>
  );
}
