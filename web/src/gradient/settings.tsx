// The panels of the step h and its verdict, and of the objective.
import { OwnParameters, shortEntries, takes } from "../choices";
import { SET_TITLES, SETS } from "../playground/names";
import { Choice, Formula, Panel, Select, Slider } from "../ui/controls";
import { shown } from "../ui/numbers";
import { checked, state } from "./state";
import { blurred, verdict } from "./words";

export function Step() {
  const found = checked.value;
  return (
    <Panel
      title="Step h"
      help={
        <>
          <Formula>{"forward: (L(w + h) − L(w)) / h"}</Formula>
          <br />
          <Formula>{"centred: (L(w + h) − L(w − h)) / 2h"}</Formula>
        </>
      }
    >
      <Slider label="h" value={state.h} low={1e-12} high={1} log step={0.25} />
      {found && (
        <p class={`verdict ${!found.ok ? "bad" : blurred(found.largest_error, found) ? "unsure" : ""}`} role="status">
          {verdict(found)}. {found.n_checked} compared, {found.n_wrong} off, {found.n_kinks} at kinks. Largest relative
          error {shown(found.largest_error, 2)}; tolerance {shown(found.tolerance, 1)}.
        </p>
      )}
      {found?.problems.map((problem) => (
        <p class="error">{problem}</p>
      ))}
      <small>
        Large h: the line through two points of a curve is not its tangent (truncation). Small h: L(w + h) and L(w − h)
        agree in almost all of their 16 digits, and little is left of the difference (rounding).
      </small>
    </Panel>
  );
}

export function Settings() {
  return (
    <Panel title="Objective" help={<Formula>{"L(W, b) = (1/N) Σ L_i + λ R(W)"}</Formula>}>
      <Choice label="loss" value={state.loss} choices={shortEntries("loss", state.loss.value)} />
      {takes("loss", state.loss.value, "delta") && (
        <Slider label="margin, Δ" value={state.delta} low={0.01} high={100} log />
      )}
      <OwnParameters kind="loss" name={state.loss.value} values={state.loss_options} />
      <Choice label="penalty" value={state.penalty} choices={shortEntries("penalty", state.penalty.value)} />
      {takes("penalty", state.penalty.value, "beta") && (
        <Slider label="beta, β" value={state.beta} low={0} high={5} step={0.05} />
      )}
      <OwnParameters kind="penalty" name={state.penalty.value} values={state.penalty_options} />
      <Slider label="reg, λ" value={state.reg} low={1e-6} high={10} log />
      <Select label="points" value={state.set} choices={SETS.map((set) => [set, SET_TITLES[set]] as const)} />
      <Slider label="points, N" value={state.n} low={2} high={100} step={1} />
      <Slider label="seed of the points" value={state.seed} low={0} high={50} step={1} />
      <Slider label="seed of W and b" value={state.w} low={0} high={50} step={1} />
    </Panel>
  );
}
