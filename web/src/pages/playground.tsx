// Playground: points in the plane, a line per class, the loss of every point, and optimizers that walk.
import { signal, useSignalEffect } from "@preact/signals";
import { Component } from "preact";
import { Explained, shortEntries, takes, titleEntries } from "../choices";
import { ClassMark } from "../classes";
import { Landscape } from "../playground/landscape";
import { SET_TITLES, SETS } from "../playground/names";
import { Plot } from "../playground/plot";
import {
  advance,
  b,
  endWalk,
  failure,
  K,
  type Method,
  type Point,
  points,
  resetWalk,
  run,
  running,
  seen,
  seenPoints,
  selected,
  setClass,
  setWeights,
  state,
  takeSet,
  W,
  walked,
  watch,
} from "../playground/state";
import { Tools } from "../playground/tools";
import { Chart } from "../ui/chart";
import { Button, Check, Choice, Failure, fixed, Formula, More, Panel, Select, shown, Slider } from "../ui/controls";

export default function Playground() {
  useSignalEffect(watch);
  return (
    <>
      <div class="page-head">
        <h1>Playground</h1>
        <p class="lead">
          Each class k has a line, <Formula>{"s_k = W_k x + b_k = 0"}</Formula>, and an arrow, <Formula>W_k</Formula>; a
          point gets the class of its highest score. Drag points, lines and arrows.
        </p>
      </div>
      <Failure message={failure} />
      <div class="columns playground">
        <div class="column plane-column">
          <Panel title="The plane" name="plane-panel">
            <Plot />
            <Legend />
            <Tools />
            <More title="Keys">
              <p>
                A point: arrows move it (<kbd>Shift</kbd> far, <kbd>Alt</kbd> fine), <kbd>n</kbd> and <kbd>p</kbd> go to
                the next and the previous one, <kbd>0</kbd> to <kbd>5</kbd> give it a class, <kbd>a</kbd> adds one next
                to it, <kbd>Delete</kbd> removes it.
              </p>
              <p>
                A line: arrows move its square; at the tip of its arrow left and right turn, up and down lengthen. A
                double press on the plane adds a point.
              </p>
            </More>
          </Panel>
        </div>
        <div class="column">
          <Total />
          <Points />
          <Weights />
        </div>
        <div class="column">
          <Optimizer />
          <Landscape />
        </div>
        <Table />
      </div>
    </>
  );
}

function Legend() {
  return (
    <p class="legend">
      <span>
        <svg class="mark" viewBox="-7 -7 14 14" aria-hidden="true">
          <circle class="rim" r="5" />
        </svg>
        dark rim: classified wrong
      </span>
      <span>
        <svg class="mark" viewBox="-7 -7 14 14" aria-hidden="true">
          <circle class="dots" r="6" />
        </svg>
        chosen
      </span>
      {state.opt.value === "sgd" && (
        <span>
          <svg class="mark" viewBox="-7 -7 14 14" aria-hidden="true">
            <circle r="6" />
          </svg>
          in the last mini-batch
        </span>
      )}
      {state.regions.value === "both" && <span>stripes: where the neighbours choose another class</span>}
    </p>
  );
}

function Total() {
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
        {shown((look?.accuracy ?? 0) * 100, 3)}% of {seenPoints.value.length} points classified correctly; norm of the
        gradient {shown(look?.gradient_norm, 3)}.
      </p>
      <Choice label="loss" value={state.loss} choices={shortEntries("loss", state.loss.value)} />
      <Explained kind="loss" name={state.loss.value} />
      {takes("loss", state.loss.value, "delta") && (
        <Slider label="margin, Δ" name="delta" value={state.delta} low={0.01} high={100} log />
      )}
      <Choice label="penalty" value={state.penalty} choices={shortEntries("penalty", state.penalty.value)} />
      <Explained kind="penalty" name={state.penalty.value} />
      {takes("penalty", state.penalty.value, "beta") && (
        <Slider label="beta, β" name="beta" value={state.beta} low={0} high={5} step={0.05} />
      )}
      <Slider label="reg, λ" name="reg" value={state.reg} low={1e-6} high={10} log />
    </Panel>
  );
}

const setKey = state.set;

function Points() {
  return (
    <Panel title="Points">
      <Select
        label="set"
        value={setKey}
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

/** The class whose sliders are shown, as `Choice` takes it. */
const shownClass = {
  get value() {
    return String(Math.min(state.c.value, K.value - 1));
  },
  set value(text: string) {
    state.c.value = Number(text);
  },
};

function Weights() {
  const k = Number(shownClass.value);
  const w = W.value[k]!;
  const bias = b.value[k]!;
  return (
    <Panel title="W and b" help={<Formula>{"s = W x + b"}</Formula>}>
      <table aria-label="weights">
        <thead>
          <tr>
            <th>class k</th>
            <th>
              <Formula>{"W_{k,1}"}</Formula>
            </th>
            <th>
              <Formula>{"W_{k,2}"}</Formula>
            </th>
            <th>
              <Formula>b_k</Formula>
            </th>
          </tr>
        </thead>
        <tbody>
          {W.value.map((row, j) => (
            <tr
              class={j === k ? "chosen" : ""}
              onClick={() => {
                shownClass.value = String(j);
              }}
            >
              <th scope="row">
                <ClassMark k={j} /> {j}
              </th>
              <td>{fixed(row[0], 3)}</td>
              <td>{fixed(row[1], 3)}</td>
              <td>{fixed(b.value[j], 3)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <Choice
        label="sliders of class"
        value={shownClass as never}
        choices={W.value.map((_, j) => [String(j), String(j)] as const)}
      />
      <WeightSlider label={`W_{${k},1}`} value={w[0]} set={(value) => setClass(k, [value, w[1]], bias)} />
      <WeightSlider label={`W_{${k},2}`} value={w[1]} set={(value) => setClass(k, [w[0], value], bias)} />
      <WeightSlider label={`b_${k}`} value={bias} set={(value) => setClass(k, w, value)} />
      <div class="row">
        <Button
          onClick={() => {
            endWalk();
            setWeights(
              W.value.map(() => [0, 0]),
              b.value.map(() => 0),
            );
          }}
        >
          All 0
        </Button>
        <Button
          onClick={() => {
            endWalk();
            setWeights(
              W.value.map((row) => row.map((x) => 2 * x)),
              b.value.map((x) => 2 * x),
            );
          }}
        >
          2 W, 2 b
        </Button>
        <Button
          onClick={() => {
            endWalk();
            setWeights(
              W.value.map((row) => row.map((x) => x / 2)),
              b.value.map((x) => x / 2),
            );
          }}
        >
          ½ W, ½ b
        </Button>
        <Check label="lines" value={state.lines} />
      </div>
    </Panel>
  );
}

function WeightSlider({ label, value, set }: { label: string; value: number; set: (value: number) => void }) {
  const cell = signal(value);
  const high = Math.max(5, Math.ceil(Math.abs(value)));
  return (
    <Slider
      label={<Formula>{label}</Formula>}
      name={label.replace(/[_{}]/g, "")}
      value={cell}
      low={-high}
      high={high}
      step={0.01}
      onChange={set}
    />
  );
}

const METHODS: readonly (readonly [Method, string])[] = [
  ["gd", "GD"],
  ["sgd", "SGD"],
  ["exact", "exact"],
];

const counted = (n: number, what: string) => `${n} ${what}${n === 1 ? "" : "s"}`;

function Optimizer() {
  const method = state.opt.value;
  const walk = walked.value;
  const none = !points.value.length; // a walk that began before the points are there would end when they come
  const certificate = walk?.certificate;
  return (
    <Panel title="Optimizer">
      <Choice label="method" value={state.opt} choices={METHODS} onChange={endWalk} />
      {method === "gd" && (
        <small>
          <Formula>{"W ← W − η ∂L/∂W"}</Formula>, over all points.
        </small>
      )}
      {method === "sgd" && (
        <small>
          The same with the gradient of a few points at a time; a step is one mini-batch, an epoch all of them.
        </small>
      )}
      {method === "exact" && (
        <small>The minimum, with a proof of how near it is: a lower bound that no weights can go below.</small>
      )}
      {method !== "exact" && (
        <>
          <Check label="learning rate η chosen by linprobe" value={state.auto} onChange={endWalk} />
          {!state.auto.value && (
            <Slider
              label="learning rate, η"
              name="learning rate"
              value={state.rate}
              low={1e-4}
              high={100}
              log
              onChange={endWalk}
            />
          )}
        </>
      )}
      {method === "gd" && <Check label="backtracking line search" value={state.search} onChange={endWalk} />}
      {method === "sgd" && (
        <>
          <Slider
            label="batch size"
            value={state.batch}
            low={1}
            high={points.value.length || 1}
            step={1}
            onChange={endWalk}
          />
          <Slider label="epochs" value={state.epochs} low={1} high={200} step={1} onChange={endWalk} />
          <Select
            label="schedule"
            value={state.schedule}
            choices={titleEntries("schedule", state.schedule.value)}
            onChange={endWalk}
          />
          <Explained kind="schedule" name={state.schedule.value} />
          <Select
            label="update"
            value={state.update}
            choices={titleEntries("update", state.update.value)}
            onChange={endWalk}
          />
          <Explained kind="update" name={state.update.value} />
          {["momentum", "nesterov"].includes(state.update.value) && (
            <Slider
              label="momentum, μ"
              name="momentum"
              value={state.momentum}
              low={0}
              high={0.99}
              step={0.01}
              onChange={endWalk}
            />
          )}
          <Slider label="seed of the order" value={state.order} low={0} high={50} step={1} onChange={endWalk} />
        </>
      )}
      <div class="row">
        {method === "exact" ? (
          <Button
            kind="main"
            onClick={() => {
              endWalk();
              void advance(1);
            }}
            disabled={none}
          >
            Solve
          </Button>
        ) : (
          <>
            <Button kind="main" onClick={() => void run()} disabled={none || (!running.value && !!walk?.status)}>
              {running.value ? "Pause" : "Run"}
            </Button>
            <Button onClick={() => void advance(1)} disabled={none || running.value || !!walk?.status}>
              Step
            </Button>
            <Button onClick={() => void advance(10)} disabled={none || running.value || !!walk?.status}>
              10 steps
            </Button>
          </>
        )}
        <Button onClick={resetWalk} disabled={!walk}>
          Reset
        </Button>
      </div>
      <p class="small" role="status">
        {walk ? (
          <>
            {counted(walk.W.length - 1, walk.method === "exact" ? "iterate" : "step")}
            {walk.method === "sgd" && `, ${shown(walk.epoch, 3)} epochs`}
            {walk.rate !== null && <>, η = {shown(walk.rate, 3)}</>}
            {walk.status && <>: {walk.status}</>}
          </>
        ) : (
          <span class="muted">From the weights that are shown.</span>
        )}
      </p>
      {certificate && (
        <p class="small" data-value="certificate">
          {certificate.words}.
        </p>
      )}
      {walk && walk.objective.length > 1 && (
        <Chart
          lines={[
            {
              name: "L after each step",
              color: "var(--class-0)",
              x: walk.objective.map((_, i) => i),
              y: walk.objective,
            },
          ]}
          x={{ label: walk.method === "exact" ? "iterate" : "step" }}
          y={{ label: "L" }}
          height={150}
          alt={`Objective over ${walk.objective.length - 1} steps, now ${shown(walk.objective.at(-1))}`}
        />
      )}
    </Panel>
  );
}

function Table() {
  const look = seen.value;
  // the points that the scores belong to: while one is dragged, those of a moment ago
  const of = seenPoints.value;
  return (
    <Panel
      title="Every point"
      name="points-panel"
      help={
        <>
          margin: <Formula>{"s_y − max_{j ≠ y} s_j"}</Formula>, above 0 where the point is classified correctly. Press a
          row to choose its point.
        </>
      }
    >
      <div class="scroll tall" tabindex={0} role="region" aria-label="table of the points">
        <table aria-label="points">
          <thead>
            <tr>
              <th>point</th>
              <th>class y</th>
              <th>
                <Formula>x_1</Formula>
              </th>
              <th>
                <Formula>x_2</Formula>
              </th>
              {look?.scores[0]?.map((_, k) => (
                <th>
                  <Formula>{`s_${k}`}</Formula>
                </th>
              ))}
              <th>margin</th>
              <th>
                loss <Formula>L_i</Formula>
              </th>
              <th>predicted</th>
            </tr>
          </thead>
          <tbody>
            {look &&
              of.map((point, i) => (
                <Row
                  key={i}
                  i={i}
                  point={point}
                  scores={look.scores[i]!}
                  margin={look.margins[i]!}
                  loss={look.losses[i]!}
                  predicted={look.predicted[i]!}
                  chosen={i === selected.value}
                />
              ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">mean</th>
              <td colSpan={4 + (look?.scores[0]?.length ?? 0)} />
              <td>{fixed(look?.data_loss, 3)}</td>
              <td />
            </tr>
          </tfoot>
        </table>
      </div>
    </Panel>
  );
}

interface RowProps {
  i: number;
  point: Point;
  scores: number[];
  margin: number;
  loss: number;
  predicted: number;
  chosen: boolean;
}

/** A row; it is drawn again when one of its numbers has changed. */
class Row extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    const before = this.props;
    return (
      next.point !== before.point ||
      next.margin !== before.margin ||
      next.loss !== before.loss ||
      next.chosen !== before.chosen ||
      next.predicted !== before.predicted ||
      next.scores.length !== before.scores.length ||
      next.scores.some((s, k) => s !== before.scores[k])
    );
  }

  render({ i, point, scores, margin, loss, predicted, chosen }: RowProps) {
    return (
      <tr
        class={chosen ? "chosen" : ""}
        onClick={() => {
          selected.value = i;
        }}
      >
        <th scope="row">{i + 1}</th>
        <td>
          <ClassMark k={point.label} /> {point.label}
        </td>
        <td>{fixed(point.x)}</td>
        <td>{fixed(point.y)}</td>
        {scores.map((s) => (
          <td>{fixed(s)}</td>
        ))}
        <td>{fixed(margin)}</td>
        <td>
          <b>{fixed(loss, 3)}</b>
        </td>
        <td>
          {predicted === point.label ? "✓" : "✗"} {predicted}
        </td>
      </tr>
    );
  }
}
