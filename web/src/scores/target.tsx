// The panel "Against a target": likelihood, divergence and cross-entropy, three readings of the softmax loss.
import { ClassMark, classColor } from "../classes";
import { Button, Formula, Panel } from "../ui/controls";
import { fixed, probability } from "../ui/numbers";
import { Scroll } from "../ui/scroll";
import { K, label, name, setShare, shares, state, targeted } from "./state";

export function Target() {
  const found = targeted.value;
  if (!found || found.target.length !== K.value) return null;
  return (
    <Panel
      title="Against a target"
      help={<Formula>{"H(P, Q) = −Σ P_k log Q_k = H(P) + D_{KL}(P || Q)"}</Formula>}
      name="target"
    >
      <Scroll label="Table of the target">
        <table aria-label="target and probabilities">
          <thead>
            <tr>
              <th>class k</th>
              <th>share of the target</th>
              <th>
                <Formula>P_k</Formula>
              </th>
              <th>
                <Formula>Q_k</Formula>
              </th>
              <th>
                <Formula>−P_k log Q_k</Formula>
              </th>
            </tr>
          </thead>
          <tbody>
            {found.target.map((p, k) => (
              <tr class={k === label.value ? "label-row" : ""}>
                <th scope="row">
                  <ClassMark k={k} /> {name(k)}
                </th>
                <td>
                  <input
                    type="range"
                    min={0}
                    max={1}
                    step={0.05}
                    value={shares.value[k]}
                    aria-label={`share of ${name(k)} in the target`}
                    onInput={(event) => setShare(k, Number(event.currentTarget.value))}
                  />
                </td>
                <td>
                  <Amount share={p} k={k} />
                </td>
                <td>
                  <Amount share={found.probabilities[k]!} k={k} />
                </td>
                <td>{fixed(found.terms[k], 3)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      <p class="result">
        <Formula>H(P, Q)</Formula> = <b data-value="cross-entropy">{fixed(found.cross_entropy, 4)}</b> ={" "}
        <Formula>H(P)</Formula> <span data-value="entropy">{fixed(found.entropy, 4)}</span> +{" "}
        <Formula>{"D_{KL}"}</Formula> <span data-value="divergence">{fixed(found.divergence, 4)}</span>
      </p>
      <div class="row">
        <Button
          onClick={() => {
            state.t.value = [];
          }}
        >
          Only {name(label.value)}
        </Button>
        <Button
          onClick={() => {
            state.t.value = Array.from({ length: K.value }, () => 1);
          }}
        >
          All alike
        </Button>
      </div>
      <small>
        With the correct class alone as the target, H(P) is 0, and cross-entropy, divergence and −log of the likelihood
        are one number: the softmax loss.
      </small>
    </Panel>
  );
}

/** A share as a bar and a number. */
function Amount({ share, k }: { share: number; k: number }) {
  return (
    <span class="amount">
      <span class="amount-bar" style={{ width: `${100 * share}%`, background: classColor(k) }} />
      <span>{probability(share)}</span>
    </span>
  );
}
