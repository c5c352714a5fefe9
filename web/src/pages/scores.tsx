// Scores to loss: rows of scores, and how each loss makes its number of one of them, term by term.
import { useSignalEffect } from "@preact/signals";
import { Dataset, Jiggle } from "../scores/changes";
import { Curves } from "../scores/curves";
import { EXAMPLES } from "../scores/examples";
import { ScorePanel } from "../scores/fields";
import { Questions } from "../scores/questions";
import { failure, K, seen, show, state, watch, watchTarget } from "../scores/state";
import { Target } from "../scores/target";
import { Hinge, Softmax } from "../scores/terms";
import { Button, Failure, Formula } from "../ui/controls";
import "./scores.css";

export default function Scores() {
  useSignalEffect(watch);
  useSignalEffect(watchTarget);
  const result = seen.value;
  // an answer to the classes that were there a moment ago
  const fits =
    result !== undefined &&
    result.gradients.hinge.length === K.value &&
    result.losses.hinge.length === state.s.value.length;
  return (
    <>
      <div class="page-head">
        <h1>Scores to loss</h1>
        <p class="lead">
          A classifier gives each class a score, <Formula>s = f(x, W)</Formula>; a loss measures how badly the class y
          fares with them. Drag the bars, or type.
        </p>
      </div>
      <div class="examples" role="group" aria-label="Examples of the lecture">
        {EXAMPLES.map((example) => (
          <Button onClick={() => show(example)}>{example.title}</Button>
        ))}
      </div>
      <Failure message={failure} />
      <div class="columns score-columns" style={{ marginTop: "14px" }}>
        <ScorePanel />
        {fits && <Curves result={result} />}
        {fits && <Hinge result={result} />}
        {fits && <Softmax result={result} />}
        {fits && <Target />}
        {fits && <Dataset result={result} />}
        {fits && <Jiggle result={result} />}
        {fits && <Questions result={result} />}
      </div>
    </>
  );
}
