// The panels of the mean over the images, and of what a small change of one score does.
import { ClassMark } from "../classes";
import type { Explained, LossName } from "../protocol";
import { Formula, Panel, Slider } from "../ui/controls";
import { fixed } from "../ui/numbers";
import { Scroll } from "../ui/scroll";
import { LOSSES } from "./examples";
import { label, labels, name, row, scores, state } from "./state";

export function Dataset({ result }: { result: Explained }) {
  return (
    <Panel title="Loss over the dataset" help={<Formula>L = (1/N) Σ L_i</Formula>}>
      <Scroll label="Table of the images' losses">
        <table aria-label="losses of the images">
          <thead>
            <tr>
              <th>image</th>
              {LOSSES.map(([, title]) => (
                <th>{title}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {state.s.value.map((_, n) => (
              <tr class={n === row.value ? "chosen" : ""}>
                <th scope="row">
                  <ClassMark k={labels.value[n]!} /> {name(labels.value[n]!)}
                </th>
                {LOSSES.map(([loss]) => (
                  <td>{fixed(result.losses[loss][n], 3)}</td>
                ))}
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">mean, L</th>
              {LOSSES.map(([loss]) => (
                <td data-value={`mean-${loss}`}>{fixed(result.means[loss], 3)}</td>
              ))}
            </tr>
          </tfoot>
        </table>
      </Scroll>
    </Panel>
  );
}

export function Jiggle({ result }: { result: Explained }) {
  const change = (loss: LossName, k: number, side: 0 | 1) => {
    const before = result.losses[loss][row.value]!;
    const after = result.jiggled[loss][k]![side];
    const value = after - before;
    if (Math.abs(value) <= 1e-12 * Math.max(before, after)) return "0"; // a rounding
    return `${value > 0 ? "+" : ""}${fixed(value, 3)}`;
  };
  return (
    <Panel title="Jiggle" help="What does a small change of one score do to the loss?">
      <Slider
        label={
          <>
            change <Formula>ε</Formula>
          </>
        }
        value={state.e}
        low={0}
        high={2}
        step={0.05}
      />
      <Scroll label="Table of the changes">
        <table aria-label="changes of the losses">
          <thead>
            <tr>
              <th>score of</th>
              <th>hinge, −ε</th>
              <th>hinge, +ε</th>
              <th>softmax, −ε</th>
              <th>softmax, +ε</th>
            </tr>
          </thead>
          <tbody>
            {scores.value.map((_, k) => (
              <tr class={k === label.value ? "label-row" : ""}>
                <th scope="row">
                  <ClassMark k={k} /> {name(k)}
                </th>
                <td>{change("hinge", k, 0)}</td>
                <td>{change("hinge", k, 1)}</td>
                <td>{change("softmax", k, 0)}</td>
                <td>{change("softmax", k, 1)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      <small>
        The hinge does not care once every margin is met: its loss stays 0. Softmax always cares a little: it would have
        the right score higher still, and the others lower, for ever.
      </small>
    </Panel>
  );
}
