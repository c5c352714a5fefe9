// The panel "Points": which set is drawn, and how many of it.
import { Button, Panel, Select, Slider } from "../ui/controls";
import { takeSet } from "./edits";
import { SET_TITLES, SETS } from "./names";
import { state } from "./state";

export function Points() {
  return (
    <Panel title="Points">
      <Select
        label="set"
        value={state.set}
        choices={SETS.map((set) => [set, SET_TITLES[set]] as const)}
        onChange={takeSet}
      />
      <Slider label="points, N" value={state.n} low={6} high={300} step={1} onChange={() => takeSet(state.set.value)} />
      <Slider label="seed" value={state.seed} low={0} high={50} step={1} onChange={() => takeSet(state.set.value)} />
      {state.p.value && (
        <div class="row">
          <small>Moved by hand.</small>
          <Button onClick={() => takeSet(state.set.value)}>The set as drawn</Button>
        </div>
      )}
    </Panel>
  );
}
