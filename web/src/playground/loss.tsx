// The panel "Loss": the objective of the weights that are shown, its parts and settings.
import { Explained, OwnParameters, shortEntries, takes } from "../choices";
import { Button, Choice, Formula, Panel, Slider } from "../ui/controls";
import { fixed, percentText, shown } from "../ui/numbers";
import { scaleWeights } from "./edits";
import { seen, seenPoints } from "./look";
import { state } from "./state";
import { byScores } from "./tools";

export function Total() {
  const look = seen.value;
  return (
    <Panel title="Loss" help={<Formula>{"L(W, b) = (1/N) Σ L_i + λ R(W)"}</Formula>}>
      <p class="total" aria-live="off">
        <span class="sum">
          <b data-value="objective">{fixed(look?.objective, 4)}</b>
          <small>L, total</small>
        </span>
        <i>=</i>
        <span>
          <b data-value="data-loss">{fixed(look?.data_loss, 4)}</b>
          <small>data loss</small>
        </span>
        <i>+</i>
        <span>
          <b data-value="reg">{shown(state.reg.value, 3)}</b>
          <small>λ, reg</small>
        </span>
        <i>×</i>
        <span>
          <b data-value="R">{fixed(look?.R, 3)}</b>
          <small>R(W)</small>
        </span>
      </p>
      <p class="muted small">
        {percentText(look?.accuracy ?? 0, 1)} of {seenPoints.value.length} points classified correctly
        {byScores()}; norm of the gradient {shown(look?.gradient_norm, 3)}.
      </p>
      <Scales />
      <Choice label="loss" value={state.loss} choices={shortEntries("loss", state.loss.value)} />
      <Explained kind="loss" name={state.loss.value} />
      {takes("loss", state.loss.value, "delta") && (
        <Slider label="margin, Δ" value={state.delta} low={0.01} high={100} log />
      )}
      <OwnParameters kind="loss" name={state.loss.value} values={state.loss_options} />
      <Choice label="penalty" value={state.penalty} choices={shortEntries("penalty", state.penalty.value)} />
      <Explained kind="penalty" name={state.penalty.value} />
      {takes("penalty", state.penalty.value, "beta") && (
        <Slider label="beta, β" value={state.beta} low={0} high={5} step={0.05} />
      )}
      <OwnParameters kind="penalty" name={state.penalty.value} values={state.penalty_options} />
      <Slider label="reg, λ" value={state.reg} low={1e-6} high={10} log />
    </Panel>
  );
}

/** W against 2 W: where the data loss is 0 at both, only R(W) tells them apart. */
function Scales() {
  const look = seen.value;
  const both = look && [["W", look] as const, ["2 W", look.doubled] as const];
  return (
    <>
      <table class="scales" aria-label="W against 2 W">
        <thead>
          <tr>
            <td />
            <th>data loss</th>
            <th>R(W)</th>
            <th>L, total</th>
          </tr>
        </thead>
        <tbody>
          {both?.map(([name, sums]) => (
            <tr>
              <th scope="row">{name}</th>
              <td>{fixed(sums.data_loss, 4)}</td>
              <td>{fixed(sums.R, 3)}</td>
              <td>{fixed(sums.objective, 4)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {look?.data_loss === 0 && (
        <p class="small" role="status" data-value="no-loss">
          The data loss is 0: no point asks for another W.
          {look.doubled.data_loss === 0 &&
            (look.doubled.objective > look.objective
              ? " 2 W has none either: of the two, R chooses."
              : " 2 W has none either, and without a penalty nothing chooses between the two.")}
        </p>
      )}
      <div class="row">
        <Button onClick={() => scaleWeights(2)}>2 W, 2 b</Button>
        <Button onClick={() => scaleWeights(0.5)}>½ W, ½ b</Button>
        <Button onClick={() => scaleWeights(0)}>All 0</Button>
      </div>
    </>
  );
}
