// The panel "Model": which run, and a picture of one's own.
import { batch } from "@preact/signals";
import { Failure, Notes, Panel, Select } from "../ui/controls";
import { Drop } from "../ui/drop";
import { percentText } from "../ui/numbers";
import { failure, grid, opened, opening, ownFailure, runs } from "./live";
import { state } from "./state";
import { take } from "./upload";

export function ModelPanel() {
  const all = runs.value;
  const subject = opened.value;
  if (all === null)
    return (
      <Panel title="Model">
        <p class="muted">reading the runs ...</p>
      </Panel>
    );
  if (all.length === 0) {
    return (
      <Panel title="Model">
        <p>
          No run has a model yet. <a href="#/train">Train one</a>: the digits take a second.
        </p>
      </Panel>
    );
  }
  const choices = all.map((one) => [one.run, one.run] as const);
  if (state.run.value && !all.some((one) => one.run === state.run.value))
    choices.unshift([state.run.value, `${state.run.value} (not here)`]);
  return (
    <Panel title="Model">
      <Select
        label="Run"
        value={state.run}
        choices={choices}
        onChange={() => {
          batch(() => {
            state.page.value = 0;
            state.label.value = state.found.value = state.first.value = state.second.value = -1;
            state.index.value = 0;
          });
        }}
      />
      <Failure message={failure} />
      {opening.value && (
        <p class="muted" role="status">
          opening ...
        </p>
      )}
      {subject && (
        <p class="help">
          {subject.class_names.length} classes,{" "}
          {subject.shape ? `pictures of ${subject.shape.join(" x ")}, ${subject.features}` : "vectors"}, {subject.loss}
          {grid.value && subject.n_test > 0 ? `; test accuracy ${percentText(grid.value.accuracy)}` : ""}
        </p>
      )}
      {subject && subject.notes.length > 0 && (
        <dl class="facts">
          <Notes notes={subject.notes} />
        </dl>
      )}
      {subject?.why && (
        <p class="error" role="alert">
          {subject.why}
        </p>
      )}
      {subject?.shape && (
        <Drop label="Drop a picture of your own here, or choose one:" accept="image/*" onFile={take}>
          <small>
            It is resized to {subject.shape[0]} x {subject.shape[1]} and stays on this machine.
          </small>
        </Drop>
      )}
      <Failure message={ownFailure} />
    </Panel>
  );
}
