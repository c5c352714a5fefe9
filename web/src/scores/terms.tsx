// The panels of the hinge and of softmax, term by term.
import { ClassMark } from "../classes";
import type { Explained } from "../protocol";
import { Formula, Panel } from "../ui/controls";
import { fixed, shown } from "../ui/numbers";
import { Scroll } from "../ui/scroll";
import { label, name, row, scores } from "./state";

export function Hinge({ result }: { result: Explained }) {
  const { margins, hinge } = result.terms;
  return (
    <Panel
      title="Hinge (multiclass SVM), term by term"
      help={<Formula>{"L_i = Σ_{j ≠ y} max(0, s_j − s_y + Δ)"}</Formula>}
    >
      <Scroll label="Table of the hinge">
        <table aria-label="hinge terms">
          <thead>
            <tr>
              <th>class j</th>
              <th>
                <Formula>s_j</Formula>
              </th>
              <th>
                <Formula>s_j − s_y + Δ</Formula>
              </th>
              <th>max(0, ·)</th>
              <th>squared</th>
              <th>
                <Formula>{"∂L_i/∂s_j"}</Formula>
              </th>
            </tr>
          </thead>
          <tbody>
            {scores.value.map((s, j) => (
              <tr class={j === label.value ? "label-row" : ""}>
                <th scope="row">
                  <ClassMark k={j} /> {name(j)}
                </th>
                <td>{fixed(s)}</td>
                {j === label.value ? (
                  <td colSpan={3} class="muted">
                    j = y is left out
                  </td>
                ) : (
                  <>
                    <td>{fixed(margins[j])}</td>
                    <td>{fixed(hinge[j])}</td>
                    <td>{fixed(result.terms["squared-hinge"][j])}</td>
                  </>
                )}
                <td>{fixed(result.gradients.hinge[j])}</td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">sum</th>
              <td />
              <td />
              <td data-value="hinge">{fixed(result.losses.hinge[row.value], 4)}</td>
              <td data-value="squared-hinge">{fixed(result.losses["squared-hinge"][row.value], 4)}</td>
              <td />
            </tr>
          </tfoot>
        </table>
      </Scroll>
      <p class="result">
        {hinge.every((term) => !term) ? (
          <>
            Every other score is at least Δ below: <Formula>L_i = 0</Formula>.
          </>
        ) : (
          <>
            <Formula>{`L_i = ${hinge
              .filter((term) => term !== null)
              .map((term) => fixed(term))
              .join(" + ")} = `}</Formula>
            <b>{fixed(result.losses.hinge[row.value])}</b>
          </>
        )}
      </p>
    </Panel>
  );
}

export function Softmax({ result }: { result: Explained }) {
  const { exponentials, sum, probabilities, log_probabilities, loss } = result.softmax;
  return (
    <Panel
      title="Softmax (cross-entropy), term by term"
      help={<Formula>{"L_i = −log P(y),  P(j) = e^{s_j} / Σ_k e^{s_k}"}</Formula>}
    >
      <Scroll label="Table of softmax">
        <table aria-label="softmax terms">
          <thead>
            <tr>
              <th>class j</th>
              <th>
                <Formula>s_j</Formula>
              </th>
              <th>
                exp: <Formula>{"e^{s_j}"}</Formula>
              </th>
              <th>normalise: P(j)</th>
              <th>−log P(j)</th>
              <th>
                <Formula>{"∂L_i/∂s_j"}</Formula>
              </th>
            </tr>
          </thead>
          <tbody>
            {scores.value.map((s, j) => (
              <tr class={j === label.value ? "label-row" : ""}>
                <th scope="row">
                  <ClassMark k={j} /> {name(j)}
                </th>
                <td>{fixed(s)}</td>
                <td>{shown(exponentials[j], 4)}</td>
                <td>{fixed(probabilities[j], 4)}</td>
                <td>
                  {j === label.value ? (
                    <b>{fixed(loss, 4)}</b>
                  ) : (
                    <span class="muted">{fixed(negative(log_probabilities[j]), 2)}</span>
                  )}
                </td>
                <td>{fixed(result.gradients.softmax[j], 4)}</td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">sum</th>
              <td />
              <td>{shown(sum, 4)}</td>
              <td>1</td>
              <td data-value="softmax">{fixed(loss, 4)}</td>
              <td />
            </tr>
          </tfoot>
        </table>
      </Scroll>
      <p class="result">
        <Formula>{`L_i = −log ${fixed(probabilities[label.value], 4)} = `}</Formula>
        <b>{fixed(loss, 4)}</b>
      </p>
      <small>
        Natural logarithm. linprobe takes the largest score off all of them first: P stays the same, and no{" "}
        <Formula>{"e^s"}</Formula> overflows.
      </small>
    </Panel>
  );
}

const negative = (value: number | null | undefined) => (value === null || value === undefined ? null : -value);
