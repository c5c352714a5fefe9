// The panel "One weight, moved by h": the secant that turns into the tangent as h gets small.
import { Chart } from "../ui/chart";
import { Button, Formula, Panel } from "../ui/controls";
import { fixed, shown } from "../ui/numbers";
import { coordinate, moved, state } from "./state";

/** Of L that is shown: more than the four of other figures, as the difference is what counts. */
const DIGITS = 8;

export function OneWeight() {
  const found = moved.value;
  if (!found) return null;
  const { weights, values, weight, value } = found;
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = Math.max(0.1 * (high - low), 1e-9);
  /** A straight line through the point, where it is in the view. */
  const line = (slope: number) =>
    weights.map((w) => {
      const at = value + slope * (w - weight);
      return at >= low - room && at <= high + room ? at : null;
    });
  const n = found.n_losses / 2;
  const turn = (by: number) => {
    state.c.value = (coordinate.value + by + n) % n;
  };
  return (
    <Panel
      title={`One weight, moved by h: ${found.name}`}
      help={<Formula>{"dL/dw ≈ (L(w + h) − L(w)) / h"}</Formula>}
      name="one-weight"
    >
      <div class="row">
        <Button onClick={() => turn(-1)}>Previous weight</Button>
        <Button onClick={() => turn(1)}>Next weight</Button>
      </div>
      <p class="result">
        w = {shown(weight)}, h = {shown(state.h.value)}. <Formula>L(w)</Formula> ={" "}
        <b data-value="value">{fixed(value, DIGITS)}</b>, <Formula>L(w + h)</Formula> ={" "}
        <b data-value="moved">{fixed(found.moved, DIGITS)}</b>. Quotient{" "}
        <b data-value="quotient">{shown(found.quotient, 6)}</b>, by the formula{" "}
        <b data-value="analytic">{shown(found.analytic, 6)}</b>.
      </p>
      <Chart
        lines={[
          { name: "L", color: "var(--ink)", x: weights, y: values },
          { name: "secant", color: "var(--class-5)", dash: "7 4", x: weights, y: line(found.quotient) },
          { name: "tangent", color: "var(--class-0)", dash: "2 3", x: weights, y: line(found.analytic) },
        ]}
        x={{ label: "w", low: weights[0]!, high: weights[weights.length - 1]! }}
        y={{ label: "L", low: low - room, high: high + room }}
        marker={weight}
        height={250}
        alt={`L along ${found.name}, with the secant over h and the tangent`}
      />
      <small>
        The numeric gradient of all {n} weights takes {found.n_losses} losses, {shown(1e3 * found.numeric_seconds, 2)}{" "}
        ms now; the analytic one {shown(1e3 * found.analytic_seconds, 2)} ms. Pictures of CIFAR-10 have 30,730 weights:
        61,460 losses for one gradient.
      </small>
    </Panel>
  );
}
