// The panel "W and b": a table, and sliders of one class.
import { signal } from "@preact/signals";
import { ClassMark } from "../classes";
import { asText } from "../fields";
import { Choice, Formula, Panel, Slider } from "../ui/controls";
import { fixed } from "../ui/numbers";
import { setClass } from "./edits";
import { b, className, K, state, W } from "./state";

/** The class whose sliders are shown. */
const shownClass = () => Math.min(state.c.value, K.value - 1);

export function Weights() {
  const k = shownClass();
  const w = W.value[k]!;
  const bias = b.value[k]!;
  return (
    <Panel title="W and b" help={<Formula>{"s = W x + b"}</Formula>}>
      <table aria-label="weights">
        <thead>
          <tr>
            <th>class k</th>
            <th>
              <Formula>{"W_{k,1}"}</Formula>
            </th>
            <th>
              <Formula>{"W_{k,2}"}</Formula>
            </th>
            <th>
              <Formula>b_k</Formula>
            </th>
          </tr>
        </thead>
        <tbody>
          {W.value.map((row, j) => (
            <tr
              class={j === k ? "chosen" : ""}
              onClick={() => {
                state.c.value = j;
              }}
            >
              <th scope="row">
                <ClassMark k={j} /> {j} {className(j) !== String(j) && <small>{className(j)}</small>}
              </th>
              <td>{fixed(row[0], 3)}</td>
              <td>{fixed(row[1], 3)}</td>
              <td>{fixed(b.value[j], 3)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <Choice
        label="sliders of class"
        value={asText(state.c, shownClass)}
        choices={W.value.map((_, j) => [String(j), String(j)] as const)}
      />
      <WeightSlider label={`W_{${k},1}`} value={w[0]} set={(value) => setClass(k, [value, w[1]], bias)} />
      <WeightSlider label={`W_{${k},2}`} value={w[1]} set={(value) => setClass(k, [w[0], value], bias)} />
      <WeightSlider label={`b_${k}`} value={bias} set={(value) => setClass(k, w, value)} />
    </Panel>
  );
}

function WeightSlider({ label, value, set }: { label: string; value: number; set: (value: number) => void }) {
  const cell = signal(value);
  const high = Math.max(5, Math.ceil(Math.abs(value)));
  return <Slider label={<Formula>{label}</Formula>} value={cell} low={-high} high={high} step={0.01} onChange={set} />;
}
