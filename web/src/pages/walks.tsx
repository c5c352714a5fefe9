// Walks: updates, learning rates and schedules side by side, from one start, on a surface of two weights.
import { useSignalEffect } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Chart } from "../ui/chart";
import { Failure, Panel } from "../ui/controls";
import { pause } from "../walks/play";
import { COLORS, failure, paths, shownAt, state, watchSurface, watchWalks } from "../walks/state";
import { Ground } from "../walks/surface";
import { Clock, Player, Walkers } from "../walks/walkers";
import "./playground.css";
import "./walks.css";

export default function Walks() {
  useSignalEffect(watchSurface);
  useSignalEffect(watchWalks);
  useEffect(() => pause, []);
  return (
    <>
      <div class="page-head">
        <h1>Walks</h1>
        <p class="lead">
          Gradient descent, mini-batches, momentum, Adam: from one start, on one surface. Place the start near the
          saddle, and see who leaves it.
        </p>
      </div>
      <Failure message={failure} />
      <div class="walks-columns">
        <div class="column">
          <Ground />
          <Panel title="L after each step">
            <Curves of="losses" label="L" />
          </Panel>
        </div>
        <div class="column">
          <Player />
          <Walkers />
          <Clock />
          <Panel title="The learning rate over time">
            <Curves of="rates" label="η" />
          </Panel>
        </div>
      </div>
    </>
  );
}

function Curves({ of, label }: { of: "losses" | "rates"; label: string }) {
  const lines = paths.value.map((path, i) => ({
    name: `${i + 1}`,
    color: COLORS[i]!,
    x: path[of].map((_, step) => step),
    y: path[of],
  }));
  return (
    <Chart
      lines={lines}
      x={{ label: "step", low: 0, high: state.steps.value }}
      y={{ label, log: true }}
      marker={shownAt.value}
      alt={`${label} of ${lines.length} walks, step by step`}
    />
  );
}
