// Scores to loss: rows of scores, and how each loss makes its number of one of them, term by term.
import { computed, signal, useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { ClassMark, classColor } from "../classes";
import { type Field, numberField, numbersField, textField, wholeField } from "../fields";
import { linked } from "../route";
import { connections, stream } from "../socket";
import { Chart, ticksOf } from "../ui/chart";
import { Button, Failure, fixed, Formula, Panel, Select, shown, Slider, typed } from "../ui/controls";
import { textScale } from "../theme";
import { useWidth } from "../ui/size";

type Loss = "hinge" | "squared-hinge" | "softmax";
type PerLoss<T> = Record<Loss, T>;

interface Explained {
  losses: PerLoss<(number | null)[]>;
  means: PerLoss<number | null>;
  terms: { margins: (number | null)[]; hinge: (number | null)[]; "squared-hinge": (number | null)[] };
  softmax: {
    exponentials: (number | null)[];
    sum: number | null;
    probabilities: number[];
    log_probabilities: (number | null)[];
    loss: number;
  };
  gradients: PerLoss<number[]>;
  doubled: PerLoss<number>;
  zero: PerLoss<number>;
  own_term: number;
  jiggled: PerLoss<[number, number][]>;
  curve: PerLoss<number[]> & { scores: number[] };
}

const LOSSES: readonly (readonly [Loss, string, string, string | undefined])[] = [
  ["hinge", "hinge", "var(--class-0)", undefined],
  ["squared-hinge", "squared hinge", "var(--class-2)", "2 3"],
  ["softmax", "softmax", "var(--class-5)", "7 4"],
];

interface Example {
  title: string;
  rows: number[][];
  labels: number[];
  names: string;
  moved?: number;
}

const CIFAR = "airplane.automobile.bird.cat.deer.dog.frog.horse.ship.truck";
const EXAMPLES: readonly Example[] = [
  {
    title: "cat, car, frog",
    rows: [
      [3.2, 5.1, -1.7],
      [1.3, 4.9, 2.0],
      [2.2, 2.5, -3.1],
    ],
    labels: [0, 1, 2],
    names: "cat.car.frog",
  },
  { title: "SVM vs. softmax", rows: [[-2.85, 0.86, 0.28]], labels: [2], names: "0.1.2" },
  { title: "jiggle: 10, −2, 3", rows: [[10, -2, 3]], labels: [0], names: "0.1.2" },
  { title: "jiggle: 10, 9, 9", rows: [[10, 9, 9]], labels: [0], names: "0.1.2" },
  { title: "jiggle: 10, −100, −100", rows: [[10, -100, -100]], labels: [0], names: "0.1.2" },
  { title: "small W: all scores 0", rows: [[0, 0, 0]], labels: [0], names: "cat.car.frog" },
  {
    title: "ten classes",
    rows: [
      [-3.45, -8.87, 0.09, 2.9, 4.48, 8.02, 3.78, 1.06, -0.36, -0.72],
      [-0.51, 6.04, 5.31, -4.22, -4.19, 3.58, 4.49, -4.37, -2.09, -2.93],
      [3.42, 4.64, 2.65, 5.1, 2.64, 5.55, -4.34, -1.5, -4.79, 6.14],
    ],
    labels: [3, 1, 6],
    names: CIFAR,
  },
];

const rowsField = (start: number[][]): Field<number[][]> => {
  const row = numbersField([], 10);
  return {
    start,
    write: (rows) => rows.map(row.write).join("~"),
    read: (text) => {
      const rows = text.split("~").map(row.read);
      const K = rows[0]?.length ?? 0;
      return K >= 2 && rows.length <= 10 && rows.every((r) => r?.length === K) ? (rows as number[][]) : undefined;
    },
  };
};

const first = EXAMPLES[0]!;
const state = linked("scores", {
  s: rowsField(first.rows),
  y: numbersField(first.labels, 10),
  c: textField(first.names),
  i: wholeField(0, 0, 9),
  m: wholeField(1, 0, 9),
  d: numberField(1, 0.01, 100),
  e: numberField(0.5, 0, 10),
});

// An address may hold a row, a label or a class that is not there: what is shown and requested is always in range.
const K = computed(() => state.s.value[0]!.length);
const row = computed(() => Math.min(state.i.value, state.s.value.length - 1));
const labels = computed(() =>
  state.s.value.map((_, n) => Math.min(Math.max(0, Math.round(state.y.value[n] ?? 0)), K.value - 1)),
);
const label = computed(() => labels.value[row.value]!);
const scores = computed(() => state.s.value[row.value]!);
const moved = computed(() => Math.min(state.m.value, K.value - 1));
const movedKey = signal("0");
const name = (k: number): string => state.c.value.split(".")[k]?.slice(0, 16) || String(k);

const span = computed(() => {
  const size = Math.max(...state.s.value.flat().map(Math.abs), 4);
  // with room for the number beyond the end of the longest bar
  return (
    [5, 8, 10, 12, 16, 20, 40, 80, 120, 200, 400, 800, 1600, 4000, 8000, 12000].find((high) => high >= 1.1 * size) ??
    12000
  );
});
/** While a bar is dragged the scale stays. */
const held = signal<number | undefined>(undefined);
const scale = computed(() => held.value ?? span.value);

const seen = signal<Explained | undefined>(undefined);
const failure = signal("");
const ask = stream<Explained>(
  "scores.explain",
  (result) => {
    seen.value = result;
    failure.value = "";
  },
  (error) => {
    failure.value = error.message;
  },
);

function setScore(k: number, value: number): void {
  if (!Number.isFinite(value)) return;
  const limited = Math.min(10000, Math.max(-10000, Math.round(value * 1000) / 1000));
  state.s.value = state.s.value.map((r, n) => (n === row.value ? r.map((s, j) => (j === k ? limited : s)) : r));
}

function setLabel(k: number): void {
  state.y.value = labels.value.map((y, n) => (n === row.value ? k : y));
}

function addClass(): void {
  state.s.value = state.s.value.map((r) => [...r, 0]);
  const names = state.c.value.split(".");
  state.c.value = Array.from({ length: K.value }, (_, k) => names[k] ?? String(k)).join(".");
}

function removeClass(): void {
  state.s.value = state.s.value.map((r) => r.slice(0, -1));
  state.y.value = labels.value;
}

function show(example: Example): void {
  state.s.value = example.rows;
  state.y.value = example.labels;
  state.c.value = example.names;
  state.i.value = 0;
  state.m.value = example.moved ?? (example.labels[0] === 1 ? 0 : 1);
}

export default function Scores() {
  useSignalEffect(() => {
    void connections.value;
    ask({
      scores: state.s.value,
      y: labels.value,
      row: row.value,
      moved: moved.value,
      low: -scale.value,
      high: scale.value,
      delta: state.d.value,
      jiggle: state.e.value,
    });
  });
  useSignalEffect(() => {
    movedKey.value = String(moved.value);
  });
  const result = seen.value;
  // an answer to the classes that were there a moment ago
  const fits =
    result !== undefined &&
    result.gradients.hinge.length === K.value &&
    result.losses.hinge.length === state.s.value.length;
  return (
    <>
      <div class="page-head">
        <h1>Scores to loss</h1>
        <p class="lead">
          A classifier gives each class a score, <Formula>s = f(x, W)</Formula>; a loss measures how badly the class y
          fares with them. Drag the bars, or type.
        </p>
      </div>
      <div class="examples" role="group" aria-label="Examples of the lecture">
        {EXAMPLES.map((example) => (
          <Button onClick={() => show(example)}>{example.title}</Button>
        ))}
      </div>
      <Failure message={failure} />
      <div class="columns score-columns" style={{ marginTop: "14px" }}>
        <ScorePanel />
        {fits && <Curves result={result} />}
        {fits && <Hinge result={result} />}
        {fits && <Softmax result={result} />}
        {fits && <Dataset result={result} />}
        {fits && <Jiggle result={result} />}
        {fits && <Questions result={result} />}
      </div>
    </>
  );
}

function ScorePanel() {
  return (
    <Panel title="Scores" help="Arrow keys move a bar by 0.1, with Shift by 1.">
      {state.s.value.length > 1 && (
        <div class="row" role="group" aria-label="Image">
          {state.s.value.map((_, n) => (
            <Button
              pressed={n === row.value}
              onClick={() => {
                state.i.value = n;
              }}
            >
              image of a {name(labels.value[n]!)}
            </Button>
          ))}
        </div>
      )}
      <Bars />
      <div class="scroll">
        <table class="score-fields">
          <thead>
            <tr>
              <th>class</th>
              <th>score</th>
              <th>right class, y</th>
            </tr>
          </thead>
          <tbody>
            {scores.value.map((s, k) => (
              <tr class={k === label.value ? "label-row" : ""}>
                <th scope="row">
                  <ClassMark k={k} /> {name(k)}
                </th>
                <td>
                  <input
                    class="number"
                    type="text"
                    inputMode="decimal"
                    aria-label={`score of ${name(k)}`}
                    value={String(s)}
                    onChange={(event) => {
                      const value = typed(event.currentTarget.value);
                      if (value !== undefined) setScore(k, value);
                      event.currentTarget.value = String(scores.value[k]);
                    }}
                  />
                </td>
                <td>
                  <input
                    type="radio"
                    name="label"
                    checked={k === label.value}
                    aria-label={`${name(k)} is the right class`}
                    onChange={() => setLabel(k)}
                  />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div class="row">
        <Button onClick={addClass} disabled={K.value >= 10}>
          Add a class
        </Button>
        <Button onClick={removeClass} disabled={K.value <= 2}>
          Remove the last
        </Button>
      </div>
    </Panel>
  );
}

function Bars() {
  const [ref, width] = useWidth<HTMLDivElement>();
  const drag = useRef<number | undefined>(undefined);
  const text = textScale.value;
  const height = 250 * text;
  const left = 50 * text;
  const top = 18 * text;
  const bottom = 26 * text;
  const n = K.value;
  const step = (width - left) / n;
  const up = (s: number) => top + (1 - (s + scale.value) / (2 * scale.value)) * (height - top - bottom);
  const at = (event: PointerEvent) => {
    const box = ref.current!.querySelector("svg")!.getBoundingClientRect();
    const share = 1 - (event.clientY - box.top - top) / (height - top - bottom);
    const value = -scale.value + 2 * scale.value * Math.min(1, Math.max(0, share));
    const unit = scale.value > 50 ? 1 : 0.1;
    return Math.round(value / unit) * unit;
  };
  const end = () => {
    drag.current = undefined;
    held.value = undefined;
  };
  return (
    <div class="bars" ref={ref}>
      {/* biome-ignore lint/a11y/noSvgWithoutTitle: each bar is a slider with a label of its own */}
      <svg width={width} height={height}>
        {ticksOf(-scale.value, scale.value, 5).map((tick) => (
          <g class="tick">
            <line x1={left} x2={width} y1={up(tick)} y2={up(tick)} />
            <text x={left - 6} y={up(tick) + 4} text-anchor="end">
              {shown(tick, 3)}
            </text>
          </g>
        ))}
        <line class="base" x1={left} x2={width} y1={up(0)} y2={up(0)} />
        {scores.value.map((s, k) => {
          const x = left + k * step + step * 0.2;
          const w = step * 0.6;
          return (
            <g
              class="bar"
              role="slider"
              tabindex={0}
              aria-orientation="vertical"
              aria-label={`score of ${name(k)}, bar`}
              aria-valuenow={s}
              aria-valuemin={-scale.value}
              aria-valuemax={scale.value}
              onKeyDown={(event) => {
                const by = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 }[event.key];
                if (by === undefined) return;
                event.preventDefault();
                setScore(k, scores.value[k]! + by * (event.shiftKey ? 1 : 0.1));
              }}
              onPointerDown={(event) => {
                event.preventDefault();
                event.currentTarget.focus();
                event.currentTarget.setPointerCapture(event.pointerId);
                held.value = span.value;
                drag.current = k;
                setScore(k, at(event));
              }}
              onPointerMove={(event) => {
                if (drag.current === k) setScore(k, at(event));
              }}
              onPointerUp={end}
              onPointerCancel={end}
            >
              <rect x={left + k * step} y={top} width={step} height={height - top - bottom} fill="transparent" />
              <rect
                x={x}
                width={w}
                y={Math.min(up(s), up(0))}
                height={Math.max(1, Math.abs(up(s) - up(0)))}
                fill={classColor(k)}
                opacity={k === label.value ? 1 : 0.55}
              />
              <line
                class="grip"
                x1={x - 3}
                x2={x + w + 3}
                y1={up(s)}
                y2={up(s)}
                stroke={classColor(k)}
                stroke-width="4"
                stroke-linecap="round"
              />
              <text
                class={step < 44 ? "value tight" : "value"}
                x={x + w / 2}
                y={s >= 0 ? up(s) - 7 : up(s) + 2 + 14 * text}
                text-anchor="middle"
              >
                {shown(s, step < 44 ? 2 : 4)}
              </text>
              <text class="name" x={x + w / 2} y={height - 7} text-anchor="middle">
                {step > 62 || name(k).length < 5 ? name(k) : name(k).slice(0, 4)}
              </text>
            </g>
          );
        })}
      </svg>
    </div>
  );
}

function Curves({ result }: { result: Explained }) {
  const top = Math.max(
    4,
    ...LOSSES.slice(0, 1).map(([loss]) => Math.max(...result.curve[loss])),
    Math.max(...result.curve.softmax),
  );
  return (
    <Panel
      title="As one score moves"
      help="The losses while the other scores stay. Press or drag in the chart to move the score."
    >
      <Select
        label="score of"
        value={movedKey}
        choices={scores.value.map((_, k) => [String(k), name(k)] as const)}
        onChange={(key) => {
          state.m.value = Number(key);
        }}
      />
      <Chart
        lines={LOSSES.map(([loss, title, color, dash]) => ({
          name: title,
          color,
          ...(dash && { dash }),
          x: result.curve.scores,
          y: result.curve[loss].map((v) => (v > top * 1.02 ? null : v)),
        }))}
        x={{ label: `score of ${name(moved.value)}` }}
        y={{ label: "loss", low: 0, high: top }}
        marker={scores.value[moved.value]}
        height={290}
        onPick={(x) => setScore(moved.value, Math.round(x * 10) / 10)}
        alt={`Hinge, squared hinge and softmax loss as the score of ${name(moved.value)} goes from ${-scale.value} to ${scale.value}`}
      />
      <Slider
        label={
          <>
            margin <Formula>Δ</Formula>
          </>
        }
        name="delta"
        value={state.d}
        low={0.01}
        high={100}
        log
      />
      <small>
        Δ is the margin that the hinges ask for, in the unit of the scores: scaling W and Δ alike changes nothing but
        the unit.
      </small>
    </Panel>
  );
}

function Hinge({ result }: { result: Explained }) {
  const { margins, hinge } = result.terms;
  return (
    <Panel
      title="Hinge (multiclass SVM), term by term"
      help={<Formula>{"L_i = Σ_{j ≠ y} max(0, s_j − s_y + Δ)"}</Formula>}
    >
      <div class="scroll">
        <table aria-label="hinge terms">
          <thead>
            <tr>
              <th>class j</th>
              <th>
                <Formula>s_j</Formula>
              </th>
              <th>
                <Formula>s_j − s_y + Δ</Formula>
              </th>
              <th>max(0, ·)</th>
              <th>squared</th>
              <th>
                <Formula>{"∂L_i/∂s_j"}</Formula>
              </th>
            </tr>
          </thead>
          <tbody>
            {scores.value.map((s, j) => (
              <tr class={j === label.value ? "label-row" : ""}>
                <th scope="row">
                  <ClassMark k={j} /> {name(j)}
                </th>
                <td>{fixed(s)}</td>
                {j === label.value ? (
                  <td colSpan={3} class="muted">
                    j = y is left out
                  </td>
                ) : (
                  <>
                    <td>{fixed(margins[j])}</td>
                    <td>{fixed(hinge[j])}</td>
                    <td>{fixed(result.terms["squared-hinge"][j])}</td>
                  </>
                )}
                <td>{fixed(result.gradients.hinge[j])}</td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">sum</th>
              <td />
              <td />
              <td data-value="hinge">{fixed(result.losses.hinge[row.value], 4)}</td>
              <td data-value="squared-hinge">{fixed(result.losses["squared-hinge"][row.value], 4)}</td>
              <td />
            </tr>
          </tfoot>
        </table>
      </div>
      <p class="result">
        {hinge.every((term) => !term) ? (
          <>
            Every other score is at least Δ below: <Formula>L_i = 0</Formula>.
          </>
        ) : (
          <>
            <Formula>{`L_i = ${hinge
              .filter((term) => term !== null)
              .map((term) => fixed(term))
              .join(" + ")} = `}</Formula>
            <b>{fixed(result.losses.hinge[row.value])}</b>
          </>
        )}
      </p>
    </Panel>
  );
}

function Softmax({ result }: { result: Explained }) {
  const { exponentials, sum, probabilities, log_probabilities, loss } = result.softmax;
  return (
    <Panel
      title="Softmax (cross-entropy), term by term"
      help={<Formula>{"L_i = −log P(y),  P(j) = e^{s_j} / Σ_k e^{s_k}"}</Formula>}
    >
      <div class="scroll">
        <table aria-label="softmax terms">
          <thead>
            <tr>
              <th>class j</th>
              <th>
                <Formula>s_j</Formula>
              </th>
              <th>
                exp: <Formula>{"e^{s_j}"}</Formula>
              </th>
              <th>normalise: P(j)</th>
              <th>−log P(j)</th>
              <th>
                <Formula>{"∂L_i/∂s_j"}</Formula>
              </th>
            </tr>
          </thead>
          <tbody>
            {scores.value.map((s, j) => (
              <tr class={j === label.value ? "label-row" : ""}>
                <th scope="row">
                  <ClassMark k={j} /> {name(j)}
                </th>
                <td>{fixed(s)}</td>
                <td>{shown(exponentials[j], 4)}</td>
                <td>{fixed(probabilities[j], 4)}</td>
                <td>
                  {j === label.value ? (
                    <b>{fixed(loss, 4)}</b>
                  ) : (
                    <span class="muted">{fixed(negative(log_probabilities[j]), 2)}</span>
                  )}
                </td>
                <td>{fixed(result.gradients.softmax[j], 4)}</td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">sum</th>
              <td />
              <td>{shown(sum, 4)}</td>
              <td>1</td>
              <td data-value="softmax">{fixed(loss, 4)}</td>
              <td />
            </tr>
          </tfoot>
        </table>
      </div>
      <p class="result">
        <Formula>{`L_i = −log ${fixed(probabilities[label.value], 4)} = `}</Formula>
        <b>{fixed(loss, 4)}</b>
      </p>
      <small>
        Natural logarithm. linprobe takes the largest score off all of them first: P stays the same, and no{" "}
        <Formula>{"e^s"}</Formula> overflows.
      </small>
    </Panel>
  );
}

const negative = (value: number | null | undefined) => (value === null || value === undefined ? null : -value);

function Dataset({ result }: { result: Explained }) {
  return (
    <Panel title="Loss over the dataset" help={<Formula>L = (1/N) Σ L_i</Formula>}>
      <div class="scroll">
        <table aria-label="losses of the images">
          <thead>
            <tr>
              <th>image</th>
              {LOSSES.map(([, title]) => (
                <th>{title}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {state.s.value.map((_, n) => (
              <tr class={n === row.value ? "chosen" : ""}>
                <th scope="row">
                  <ClassMark k={labels.value[n]!} /> {name(labels.value[n]!)}
                </th>
                {LOSSES.map(([loss]) => (
                  <td>{fixed(result.losses[loss][n], 3)}</td>
                ))}
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">mean, L</th>
              {LOSSES.map(([loss]) => (
                <td data-value={`mean-${loss}`}>{fixed(result.means[loss], 3)}</td>
              ))}
            </tr>
          </tfoot>
        </table>
      </div>
    </Panel>
  );
}

function Jiggle({ result }: { result: Explained }) {
  const change = (loss: Loss, k: number, side: 0 | 1) => {
    const before = result.losses[loss][row.value]!;
    const after = result.jiggled[loss][k]![side];
    const value = after - before;
    if (Math.abs(value) <= 1e-12 * Math.max(before, after)) return "0"; // a rounding
    return `${value > 0 ? "+" : ""}${fixed(value, 3)}`;
  };
  return (
    <Panel title="Jiggle" help="What does a small change of one score do to the loss?">
      <Slider
        label={
          <>
            change <Formula>ε</Formula>
          </>
        }
        name="jiggle"
        value={state.e}
        low={0}
        high={2}
        step={0.05}
      />
      <div class="scroll">
        <table aria-label="changes of the losses">
          <thead>
            <tr>
              <th>score of</th>
              <th>hinge, −ε</th>
              <th>hinge, +ε</th>
              <th>softmax, −ε</th>
              <th>softmax, +ε</th>
            </tr>
          </thead>
          <tbody>
            {scores.value.map((_, k) => (
              <tr class={k === label.value ? "label-row" : ""}>
                <th scope="row">
                  <ClassMark k={k} /> {name(k)}
                </th>
                <td>{change("hinge", k, 0)}</td>
                <td>{change("hinge", k, 1)}</td>
                <td>{change("softmax", k, 0)}</td>
                <td>{change("softmax", k, 1)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <small>
        The hinge does not care once every margin is met: its loss stays 0. Softmax always cares a little: it would have
        the right score higher still, and the others lower, for ever.
      </small>
    </Panel>
  );
}

function Questions({ result }: { result: Explained }) {
  const here = row.value;
  const hinge = result.losses.hinge[here] ?? 0;
  const k = K.value;
  return (
    <Panel title="The lecture's questions, for these scores" wide>
      <dl class="questions">
        <div>
          <dt>What are the least and the greatest possible losses?</dt>
          <dd>
            Of the hinges and of softmax alike: at least 0, no greatest. The hinges reach 0, softmax only in the limit;
            here they are{" "}
            {LOSSES.map(([loss, title], n) => (
              <>
                {n > 0 && ", "}
                {title} {shown(result.losses[loss][here])}
              </>
            ))}
            .
          </dd>
        </div>
        <div>
          <dt>At the start W is small, and all scores are near 0: what is the loss?</dt>
          <dd>
            Hinge (K − 1) Δ = <span data-value="zero-hinge">{shown(result.zero.hinge)}</span>, softmax log K ={" "}
            <span data-value="zero-softmax">{shown(result.zero.softmax)}</span>, with K = {k}: a number to check a new
            program by.
          </dd>
        </div>
        <div>
          <dt>What if the sum went over all classes, j = y included?</dt>
          <dd>
            The term of j = y is <Formula>max(0, s_y − s_y + Δ)</Formula> = {shown(result.own_term)}: the hinge would be{" "}
            {shown(hinge + result.own_term)} instead of {shown(hinge)}, for every image alike, and the best W would stay
            the same.
          </dd>
        </div>
        <div>
          <dt>A mean over the classes instead of a sum?</dt>
          <dd>
            Every loss is divided by the same number, here {k - 1}: {shown(hinge / (k - 1))}. The best W stays, if reg
            is divided as well.
          </dd>
        </div>
        <div>
          <dt>And max(0, ·)²?</dt>
          <dd>
            Another loss: {shown(result.losses["squared-hinge"][here])} instead of {shown(hinge)}. It weighs large
            violations more, and is smooth where a margin is just met.
          </dd>
        </div>
        <div>
          <dt>W against 2W: every score doubles. Which is better?</dt>
          <dd>
            Hinge {shown(hinge)} → <span data-value="doubled-hinge">{shown(result.doubled.hinge)}</span>, softmax{" "}
            {shown(result.losses.softmax[here])} →{" "}
            <span data-value="doubled-softmax">{shown(result.doubled.softmax)}</span>.{" "}
            {hinge === 0 && result.doubled.hinge === 0
              ? "Both have hinge loss 0, so the data cannot choose between them: "
              : "Where all margins are met the hinge is 0 for both, and the data cannot choose: "}
            R(W) does. For L2, R(2W) = 4 R(W); for L1, 2 R(W).
          </dd>
        </div>
      </dl>
    </Panel>
  );
}
