// The panels of the hinge and of softmax, term by term.
import type { ComponentChildren } from "preact";
import { ClassMark } from "../classes";
import type { Explained } from "../protocol";
import { Formula, Panel } from "../ui/controls";
import { fixed, shown } from "../ui/numbers";
import { Scroll } from "../ui/scroll";
import { label, name, row, scores } from "./state";

interface TermsProps {
  /** The loss, as in the name of the table. */
  loss: string;
  /** Heads of the columns after the class and its score. */
  heads: readonly ComponentChildren[];
  /** The cells of class j after its score. */
  cells: (j: number) => ComponentChildren;
  /** The cells of the sums, one for each column after the class. */
  sums: ComponentChildren;
}

/** A table with a row of terms for each class, that of the label marked, and a row of sums. */
function Terms({ loss, heads, cells, sums }: TermsProps) {
  return (
    <Scroll label={`Table of the ${loss} terms`}>
      <table aria-label={`${loss} terms`}>
        <thead>
          <tr>
            <th>class j</th>
            <th>
              <Formula>s_j</Formula>
            </th>
            {heads.map((head) => (
              <th>{head}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {scores.value.map((s, j) => (
            <tr class={j === label.value ? "label-row" : ""}>
              <th scope="row">
                <ClassMark k={j} /> {name(j)}
              </th>
              <td>{fixed(s)}</td>
              {cells(j)}
            </tr>
          ))}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row">sum</th>
            {sums}
          </tr>
        </tfoot>
      </table>
    </Scroll>
  );
}

const SLOPE = <Formula>{"∂L_i/∂s_j"}</Formula>;

export function Hinge({ result }: { result: Explained }) {
  const { margins, hinge } = result.terms;
  return (
    <Panel
      title="Hinge (multiclass SVM), term by term"
      help={<Formula>{"L_i = Σ_{j ≠ y} max(0, s_j − s_y + Δ)"}</Formula>}
    >
      <Terms
        loss="hinge"
        heads={[<Formula>s_j − s_y + Δ</Formula>, "max(0, ·)", "squared", SLOPE]}
        cells={(j) => (
          <>
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
          </>
        )}
        sums={
          <>
            <td />
            <td />
            <td data-value="hinge">{fixed(result.losses.hinge[row.value], 4)}</td>
            <td data-value="squared-hinge">{fixed(result.losses["squared-hinge"][row.value], 4)}</td>
            <td />
          </>
        }
      />
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
      <Terms
        loss="softmax"
        heads={[
          <>
            exp: <Formula>{"e^{s_j}"}</Formula>
          </>,
          "normalise: P(j)",
          "−log P(j)",
          SLOPE,
        ]}
        cells={(j) => (
          <>
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
          </>
        )}
        sums={
          <>
            <td />
            <td>{shown(sum, 4)}</td>
            <td>1</td>
            <td data-value="softmax">{fixed(loss, 4)}</td>
            <td />
          </>
        }
      />
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
