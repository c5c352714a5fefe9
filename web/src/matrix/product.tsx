// The matrix times the vector: every number can be changed, and each row is a template, too.
import { ClassMark } from "../classes";
import type { Multiplied } from "../protocol";
import { NumberField, Panel } from "../ui/controls";
import { fixed } from "../ui/numbers";
import { bytesOf, Pixels } from "../ui/pixels";
import { Scroll } from "../ui/scroll";
import { across, biases, D, label, name, rows, setBias, setPixel, setWeight, state, up, x } from "./state";

interface CellProps {
  value: number;
  set: (value: number) => void;
  words: string;
  /** Of arrow keys. */
  step: number;
}

function Cell({ value, set, words, step }: CellProps) {
  return (
    <NumberField
      value={value}
      set={set}
      words={words}
      onKeyDown={(event) => {
        const by = { ArrowUp: step, ArrowDown: -step }[event.key];
        if (by === undefined) return;
        event.preventDefault();
        set(value + by * (event.shiftKey ? 10 : 1));
      }}
    />
  );
}

/** The picture as grey squares: black for the smallest of its numbers and 0, white for the largest and 255. */
function Picture() {
  const low = Math.min(0, ...x.value);
  const high = Math.max(255, ...x.value);
  return (
    <div class="four" role="img" aria-label={`the picture: ${x.value.join(", ")}`}>
      {x.value.map((value, d) => {
        const grey = Math.round((255 * (value - low)) / (high - low));
        return (
          <span style={{ background: `rgb(${grey} ${grey} ${grey})`, color: grey > 140 ? "black" : "white" }}>
            x{d + 1}
          </span>
        );
      })}
    </div>
  );
}

export function Product({ result }: { result: Multiplied }) {
  const template = bytesOf(result.template);
  return (
    <Panel title="W x + b" help="Type, or press the arrow keys in a cell (with Shift ten times as far)." wide>
      <div class="matrix-row">
        <Picture />
        <Scroll label="W times x plus b">
          <table class="matrix" aria-label="W times x plus b">
            <thead>
              <tr>
                <th>class</th>
                <th>template</th>
                {x.value.map((_, d) => (
                  <th class={d === across.value || d === up.value ? "in-plane" : ""}>x{d + 1}</th>
                ))}
                <th>b</th>
                <th>score</th>
                <th>p</th>
                <th>y</th>
              </tr>
              <tr class="picture-row">
                <th scope="row" colSpan={2}>
                  picture x
                </th>
                {x.value.map((value, d) => (
                  <td>
                    <Cell value={value} set={(next) => setPixel(d, next)} words={`pixel ${d + 1}`} step={1} />
                  </td>
                ))}
                <td colSpan={4} />
              </tr>
            </thead>
            <tbody>
              {rows.value.map((row, k) => (
                <tr class={k === label.value ? "label-row" : ""}>
                  <th scope="row">
                    <ClassMark k={k} /> {name(k)}
                  </th>
                  <td>
                    <Pixels
                      height={2}
                      width={2}
                      kind="signed"
                      bytes={template.subarray(D * k, D * k + D)}
                      label={`template of ${name(k)}`}
                    />
                  </td>
                  {row.map((weight, d) => (
                    <td>
                      <Cell
                        value={weight}
                        set={(next) => setWeight(k, d, next)}
                        words={`weight of ${name(k)} for pixel ${d + 1}`}
                        step={0.05}
                      />
                      <small data-value={`product-${k}-${d}`}>{fixed(result.products[k]?.[d])}</small>
                    </td>
                  ))}
                  <td>
                    <Cell
                      value={biases.value[k]!}
                      set={(next) => setBias(k, next)}
                      words={`bias of ${name(k)}`}
                      step={0.1}
                    />
                  </td>
                  <td>
                    <b data-value={`score-${k}`}>{fixed(result.scores[k])}</b>
                  </td>
                  <td>{fixed(result.probabilities[k])}</td>
                  <td>
                    <input
                      type="radio"
                      name="label"
                      checked={k === label.value}
                      aria-label={`${name(k)} is the right class`}
                      onChange={() => {
                        state.y.value = k;
                      }}
                    />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </div>
      <p class="result">
        The small number below a weight is what its pixel adds to the score. Hinge{" "}
        <b data-value="hinge">{fixed(result.hinge)}</b>, softmax <b data-value="softmax">{fixed(result.softmax)}</b>.
      </p>
    </Panel>
  );
}
