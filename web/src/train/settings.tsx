// The panel "Settings": what is minimised, by what, and the button that starts it.
import { useId } from "preact/hooks";
import { Explained, lineEntries, OwnParameters, shortEntries, takes, titleEntries } from "../choices";
import { call, say } from "../socket";
import { Button, Check, Choice, Failure, Formula, More, Panel, Select, Slider } from "../ui/controls";
import { typed } from "../ui/numbers";
import { refreshRuns } from "./events";
import { about, busy, failure, job } from "./live";

import { settings, state } from "./state";

function start(): void {
  failure.value = "";
  call("train.start", { source: state.source.peek(), settings: settings() }).then(() => {
    refreshRuns();
    // on a narrow screen the panel lies below the settings
    const panel = document.querySelector(".panel.live");
    if (panel && panel.getBoundingClientRect().top > 0.4 * innerHeight) panel.scrollIntoView({ block: "start" });
  }, say(failure));
}

function NumberField({
  label,
  value,
  low,
  high,
}: {
  label: string;
  value: { value: number };
  low: number;
  high: number;
}) {
  const id = useId();
  return (
    <div class="control field">
      <label for={id}>{label}</label>
      <input
        id={id}
        class="number"
        type="number"
        min={low}
        max={high}
        step={1}
        value={value.value}
        onChange={(event) => {
          const found = typed(event.currentTarget.value);
          if (found !== undefined) value.value = Math.min(high, Math.max(low, Math.round(found)));
          event.currentTarget.value = String(value.value);
        }}
      />
    </div>
  );
}

export function SettingsPanel() {
  const { optimizer, loss, penalty, features } = state;
  return (
    <Panel
      title="Settings"
      help={
        <>
          Minimises <Formula>L(W, b) = (1/N) Σ L_i + λ R(W)</Formula>, as <code>linprobe train</code> does: same
          settings, same bits.
        </>
      }
    >
      <Choice label="Loss" value={loss} choices={shortEntries("loss", loss.value)} />
      <Explained kind="loss" name={loss.value} />
      {takes("loss", loss.value, "delta") && <Slider label="margin, Δ" value={state.delta} low={0.01} high={100} log />}
      <OwnParameters kind="loss" name={loss.value} values={state.loss_options} />
      <Select label="Penalty R(W)" value={penalty} choices={lineEntries("penalty", penalty.value)} />
      {penalty.value !== "none" && <Slider label="reg, λ" value={state.reg} low={1e-7} high={10} log />}
      {takes("penalty", penalty.value, "beta") && (
        <Slider label="beta, β" value={state.beta} low={0.01} high={10} log />
      )}
      <OwnParameters kind="penalty" name={penalty.value} values={state.penalty_options} />
      <Choice label="Optimizer" value={optimizer} choices={shortEntries("optimizer", optimizer.value)} />
      <Explained kind="optimizer" name={optimizer.value} />
      {optimizer.value === "sgd" ? <SgdSettings /> : <DescentSettings />}
      <Select label="Features" value={features} choices={titleEntries("features", features.value)} />
      <Explained kind="features" name={features.value} />
      {features.value === "patches" && <NumberField label="patches" value={state.patches} low={2} high={100_000} />}
      <Slider
        label="validation"
        value={state.validation}
        low={0}
        high={0.5}
        step={0.05}
        help="Share of the training images that is held out."
      />
      <MoreSettings />
      <Failure message={failure} />
      <div class="row">
        <Button kind="main" onClick={start} disabled={busy.value || !about.value}>
          Start training
        </Button>
        {busy.value && <small>{job.value?.run} is running; the lab runs one training at a time</small>}
      </div>
    </Panel>
  );
}

function SgdSettings() {
  return (
    <>
      <Check label="learning rate η chosen by linprobe" value={state.auto} />
      {!state.auto.value && <Slider label="learning rate, η" value={state.rate} low={1e-6} high={10} log />}
      <NumberField label="batch size" value={state.batch} low={1} high={100_000} />
      <NumberField label="epochs" value={state.epochs} low={1} high={1_000_000} />
      <Select label="update" value={state.update} choices={titleEntries("update", state.update.value)} />
      <Explained kind="update" name={state.update.value} />
    </>
  );
}

/** Of the exact optimizers, and of gradient descent. */
function DescentSettings() {
  return (
    <>
      <Slider
        label="tol"
        value={state.tol}
        low={1e-8}
        high={0.1}
        log
        help={
          state.optimizer.value === "exact"
            ? "The relative gap to reach: (L − lower bound) / L."
            : "The norm of the gradient to reach."
        }
      />
      <NumberField label="iterations at most" value={state.max_iter} low={0} high={1_000_000} />
    </>
  );
}

function MoreSettings() {
  return (
    <More title="More settings">
      {state.optimizer.value === "sgd" && (
        <>
          <Select label="schedule" value={state.schedule} choices={titleEntries("schedule", state.schedule.value)} />
          <Explained kind="schedule" name={state.schedule.value} />
          {takes("update", state.update.value, "momentum") && (
            <Slider label="momentum, μ" value={state.momentum} low={0} high={0.99} />
          )}
          <Slider label="dropout" value={state.dropout} low={0} high={0.9} />
          <Check label="average the second half" value={state.average} />
          <NumberField label="patience (0: none)" value={state.patience} low={0} high={10_000} />
        </>
      )}
      <Select
        label="preprocess"
        value={state.preprocess}
        choices={titleEntries("preprocess", state.preprocess.value)}
      />
      <Explained kind="preprocess" name={state.preprocess.value} />
      <Check label="train on mirror images as well (flips)" value={state.flips} />
      <NumberField label="seed" value={state.seed} low={0} high={2 ** 31 - 1} />
    </More>
  );
}
