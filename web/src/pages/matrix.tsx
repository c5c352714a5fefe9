// W times x: the algebraic, the visual and the geometric viewpoint of one small classifier, side by side.
import { useSignalEffect } from "@preact/signals";
import { Plane } from "../matrix/plane";
import { Product } from "../matrix/product";
import { EXAMPLES, failure, K, seen, show, watch } from "../matrix/state";
import { Button, Failure, Formula } from "../ui/controls";
import "./matrix.css";

export default function Matrix() {
  useSignalEffect(watch);
  const result = seen.value;
  const fits = result !== undefined && result.scores.length === K.value;
  return (
    <>
      <div class="page-head">
        <h1>W times x</h1>
        <p class="lead">
          A picture of four pixels, and <Formula>s = W x + b</Formula>. A row of W is three things at once: numbers, a
          template, and a line.
        </p>
      </div>
      <div class="row" role="group" aria-label="Examples of the lecture">
        {EXAMPLES.map((example) => (
          <Button onClick={() => show(example)}>{example.title}</Button>
        ))}
      </div>
      <Failure message={failure} />
      {fits && (
        <div class="matrix-columns">
          <Product result={result} />
          <Plane result={result} />
        </div>
      )}
    </>
  );
}
