// The panel of two numbers of neighbours, side by side: the regions of each, what it gets wrong, and its accuracies.
import { type Signal, signal, useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { classColor, classShape } from "../classes";
import type { Vote, Votes } from "../protocol";
import { connections, say, stream } from "../socket";
import { Panel, Slider } from "../ui/controls";
import { percentText } from "../ui/numbers";
import { useWidth } from "../ui/size";
import type { Point } from "./points";
import { paintCells } from "./regions";
import { dragging, failure, half, K, points, state } from "./state";

/** What was answered last, and the points that it was answered of. */
const answered = signal<{ votes: Votes; points: Point[]; half: number } | undefined>(undefined);

const ask = stream(
  "playground.votes",
  (votes, of: { points: Point[]; half: number }) => {
    answered.value = { votes, ...of };
  },
  say(failure),
);

/** Points of a grid along a side, and while a point moves. */
const GRID = 160;
const GRID_MOVING = 80;

/** Ask for the votes: an effect of the panel. */
function watchVotes(): void {
  void connections.value;
  if (points.value.length < 1) return;
  const limit = half.value;
  ask(
    {
      points: points.value.map((p) => [p.x, p.y] as const),
      labels: points.value.map((p) => p.label),
      n_classes: K.value,
      ks: [state.k1.value, state.k2.value],
      view: [-limit, -limit, limit, limit],
      size: dragging.value ? GRID_MOVING : GRID,
      set: state.set.value,
      seed: state.seed.value,
    },
    { points: points.value, half: limit },
  );
}

export function Beside() {
  useSignalEffect(watchVotes);
  const found = answered.value;
  const high = Math.min(50, points.value.length);
  return (
    <Panel title="Nearest neighbours, side by side" name="beside-panel">
      <div class="sides">
        {([state.k1, state.k2] as const).map((k, i) => (
          <Side
            key={i}
            k={k}
            high={high}
            vote={found?.votes.votes[i]}
            of={found?.points ?? []}
            limit={found?.half ?? 1}
          />
        ))}
      </div>
      <small>
        {found?.votes.n_held_out} points of the set were held out: they are drawn nowhere, and no neighbour of any
        point.
        {state.p.value && " They are those of the set as it was drawn."}
      </small>
    </Panel>
  );
}

interface SideProps {
  k: Signal<number>;
  high: number;
  vote: Vote | undefined;
  of: Point[];
  limit: number;
}

function Side({ k, high, vote, of, limit }: SideProps) {
  const [box, size] = useWidth<HTMLDivElement>(300);
  const name = `${vote?.k ?? k.value}-NN`;
  const wrong = of.filter((point, i) => vote && vote.predicted[i] !== point.label).length;
  return (
    <div class="side" ref={box}>
      <h3>{name}</h3>
      <div
        class="plane"
        style={{ width: `${size}px`, height: `${size}px` }}
        role="img"
        aria-label={`Regions of ${name}; ${wrong} of ${of.length} points are classified wrong`}
      >
        <Cells vote={vote} />
        <svg width={size} height={size} viewBox={`${-limit} ${-limit} ${2 * limit} ${2 * limit}`} aria-hidden="true">
          {of.map((point, i) => (
            <g
              class={`point ${vote && vote.predicted[i] !== point.label ? "wrong" : ""}`}
              transform={`translate(${point.x} ${-point.y}) scale(${(1.5 * limit) / size})`}
            >
              <path d={classShape(point.label)} fill={classColor(point.label)} />
            </g>
          ))}
        </svg>
      </div>
      <dl class="accuracies">
        <dt>on the {of.length} points</dt>
        <dd data-value={`${k === state.k1 ? "left" : "right"}-training`}>{vote && percentText(vote.accuracy, 1)}</dd>
        <dt>held out</dt>
        <dd data-value={`${k === state.k1 ? "left" : "right"}-held-out`}>
          {vote && percentText(vote.held_out_accuracy, 1)}
        </dd>
      </dl>
      <Slider label="neighbours, k" value={k} low={1} high={high} step={1} />
    </div>
  );
}

/** The regions, painted when they, or the colours, have changed. */
function Cells({ vote }: { vote: Vote | undefined }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const shown = useRef(signal(vote?.regions)).current;
  shown.value = vote?.regions;
  useSignalEffect(() => paintCells(canvas.current, shown.value));
  return <canvas ref={canvas} width={1} height={1} aria-hidden="true" />;
}
