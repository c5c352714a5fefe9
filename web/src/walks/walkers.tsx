// The walkers: update, learning rate, schedule and batch size of each; and the player.
import { titleEntries } from "../choices";
import { Button, Choice, NumberField, Panel, Slider } from "../ui/controls";
import { shown } from "../ui/numbers";
import { Scroll } from "../ui/scroll";
import { pause, play, toStep } from "./play";
import {
  addWalker,
  at,
  COLORS,
  choose,
  GROUNDS,
  MOST_WALKERS,
  paths,
  playing,
  removeWalker,
  setWalker,
  shape,
  shownAt,
  speed,
  state,
} from "./state";

export function Player() {
  return (
    <Panel title="Walk">
      <Choice label="surface" value={state.ground} choices={GROUNDS} onChange={choose} />
      <div class="row">
        <Button kind="main" onClick={playing.value ? pause : play}>
          {playing.value ? "Pause" : "Play"}
        </Button>
        <Button onClick={() => toStep(Math.min(state.steps.value, shownAt.value + 1))}>One step</Button>
        <Button onClick={() => toStep(0)}>To the start</Button>
        <Button onClick={() => toStep(state.steps.value)}>To the end</Button>
      </div>
      <Slider label="step" value={at} low={0} high={state.steps.value} step={1} onChange={pause} />
    </Panel>
  );
}

export function Clock() {
  return (
    <Panel title="Speed and length">
      <Slider label="steps a second" value={speed} low={1} high={200} log />
      <Slider label="steps in all" value={state.steps} low={1} high={400} step={1} />
      <Slider label="seed of the batches" value={state.seed} low={0} high={50} step={1} />
    </Panel>
  );
}

export function Walkers() {
  const most = shape.value?.n_images ?? 0;
  return (
    <Panel title="Side by side" help={`All begin at the same place. Batch 0 is the full gradient, of ${most} images.`}>
      <Scroll label="Table of the walks">
        <table class="walkers" aria-label="walks">
          <thead>
            <tr>
              <th>walk</th>
              <th>update</th>
              <th>rate</th>
              <th>schedule</th>
              <th>batch</th>
              <th>L now</th>
              <td />
            </tr>
          </thead>
          <tbody>
            {state.w.value.map((walker, i) => (
              <tr>
                <th scope="row">
                  <span class="walk-mark" style={{ background: COLORS[i] }} /> {i + 1}
                </th>
                <td>
                  <Listed
                    kind="update"
                    value={walker.update}
                    words={`update of walk ${i + 1}`}
                    set={(update) => setWalker(i, { update })}
                  />
                </td>
                <td>
                  <NumberField
                    value={walker.rate}
                    words={`rate of walk ${i + 1}`}
                    set={(rate) => rate > 0 && rate <= 1000 && setWalker(i, { rate })}
                  />
                </td>
                <td>
                  <Listed
                    kind="schedule"
                    value={walker.schedule}
                    words={`schedule of walk ${i + 1}`}
                    set={(schedule) => setWalker(i, { schedule })}
                  />
                </td>
                <td>
                  <NumberField
                    value={walker.batch}
                    words={`batch of walk ${i + 1}`}
                    set={(batch) => batch >= 0 && batch <= 10000 && setWalker(i, { batch: Math.round(batch) })}
                  />
                </td>
                <td data-value={`loss-${i}`}>{shown(paths.value[i]?.losses[shownAt.value])}</td>
                <td>
                  <Button
                    kind="quiet"
                    label={`Remove walk ${i + 1}`}
                    disabled={state.w.value.length < 2}
                    onClick={() => removeWalker(i)}
                  >
                    ×
                  </Button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      <Button onClick={addWalker} disabled={state.w.value.length >= MOST_WALKERS}>
        Add a walk
      </Button>
    </Panel>
  );
}

interface ListedProps {
  kind: "update" | "schedule";
  value: string;
  words: string;
  set: (name: string) => void;
}

function Listed({ kind, value, words, set }: ListedProps) {
  return (
    <select aria-label={words} value={value} onChange={(event) => set(event.currentTarget.value)}>
      {titleEntries(kind, value).map(([name, title]) => (
        <option value={name} selected={name === value}>
          {title}
        </option>
      ))}
    </select>
  );
}
