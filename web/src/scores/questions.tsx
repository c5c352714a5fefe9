// The panel of the lecture's questions, answered with the scores that are shown.

import type { Explained } from "../protocol";
import { Formula, Panel } from "../ui/controls";
import { shown } from "../ui/numbers";
import { LOSSES } from "./examples";
import { K, row } from "./state";

export function Questions({ result }: { result: Explained }) {
  const here = row.value;
  const hinge = result.losses.hinge[here] ?? 0;
  const k = K.value;
  return (
    <Panel title="The lecture's questions, for these scores" wide>
      <dl class="questions">
        <div>
          <dt>What are the least and the greatest possible losses?</dt>
          <dd>
            Of the hinges and of softmax alike: at least 0, no greatest. The hinges reach 0, softmax only in the limit;
            here they are{" "}
            {LOSSES.map(([loss, title], n) => (
              <>
                {n > 0 && ", "}
                {title} {shown(result.losses[loss][here])}
              </>
            ))}
            .
          </dd>
        </div>
        <div>
          <dt>At the start W is small, and all scores are near 0: what is the loss?</dt>
          <dd>
            Hinge (K − 1) Δ = <span data-value="zero-hinge">{shown(result.zero.hinge)}</span>, softmax log K ={" "}
            <span data-value="zero-softmax">{shown(result.zero.softmax)}</span>, with K = {k}: a number to check a new
            program by.
          </dd>
        </div>
        <div>
          <dt>What if the sum went over all classes, j = y included?</dt>
          <dd>
            The term of j = y is <Formula>max(0, s_y − s_y + Δ)</Formula> = {shown(result.own_term)}: the hinge would be{" "}
            {shown(hinge + result.own_term)} instead of {shown(hinge)}, for every image alike, and the best W would stay
            the same.
          </dd>
        </div>
        <div>
          <dt>A mean over the classes instead of a sum?</dt>
          <dd>
            Every loss is divided by the same number, here {k - 1}: {shown(hinge / (k - 1))}. The best W stays, if reg
            is divided as well.
          </dd>
        </div>
        <div>
          <dt>And max(0, ·)²?</dt>
          <dd>
            Another loss: {shown(result.losses["squared-hinge"][here])} instead of {shown(hinge)}. It weighs large
            violations more, and is smooth where a margin is just met.
          </dd>
        </div>
        <div>
          <dt>W against 2W: every score doubles. Which is better?</dt>
          <dd>
            Hinge {shown(hinge)} → <span data-value="doubled-hinge">{shown(result.doubled.hinge)}</span>, softmax{" "}
            {shown(result.losses.softmax[here])} →{" "}
            <span data-value="doubled-softmax">{shown(result.doubled.softmax)}</span>.{" "}
            {hinge === 0 && result.doubled.hinge === 0
              ? "Both have hinge loss 0, so the data cannot choose between them: "
              : "Where all margins are met the hinge is 0 for both, and the data cannot choose: "}
            R(W) does. For L2, R(2W) = 4 R(W); for L1, 2 R(W).
          </dd>
        </div>
      </dl>
    </Panel>
  );
}
