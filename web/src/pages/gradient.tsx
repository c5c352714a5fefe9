// Gradient check: the formula's gradient against differences, and what h does to them.
import { computed, signal, useSignalEffect } from "@preact/signals";
import { choiceField, nameField, numberField, wholeField } from "../fields";
import { linked } from "../route";
import { connections, stream } from "../socket";
import { shortEntries, takes } from "../choices";
import { SET_TITLES, SETS } from "../playground/names";
import { Chart } from "../ui/chart";
import { Choice, Failure, fixed, Formula, More, Panel, Select, shown, Slider } from "../ui/controls";

interface Coordinate {
  name: string;
  analytic: number;
  forward: number;
  centred: number;
  error: number;
  kink: string | null;
  ok: boolean;
}

interface Checked {
  ok: boolean;
  n_checked: number;
  n_wrong: number;
  n_kinks: number;
  largest_error: number | null;
  tolerance: number;
  problems: string[];
  coordinates: Coordinate[];
  objective: number;
  W: number[][];
  b: number[];
}

interface Swept {
  h: number[];
  names: string[];
  forward: number[][];
  centred: number[][];
  kinks: boolean[][];
}

const state = linked("gradient", {
  set: choiceField("three-modes", SETS),
  n: wholeField(20, 2, 100),
  seed: wholeField(0, 0, 99999),
  w: wholeField(0, 0, 99999),
  loss: nameField("softmax"),
  delta: numberField(1, 0.01, 100),
  penalty: nameField("l2"),
  beta: numberField(0.5, 0, 100),
  reg: numberField(0.01, 0, 100),
  h: numberField(1e-5, 1e-12, 0.1),
  c: wholeField(0, 0, 99),
});

const problem = computed(() => ({
  set: state.set.value,
  n: state.n.value,
  seed: state.seed.value,
  weights_seed: state.w.value,
  loss: state.loss.value,
  delta: state.delta.value,
  penalty: state.penalty.value,
  beta: state.beta.value,
  reg: state.reg.value,
}));

const checked = signal<Checked | undefined>(undefined);
const swept = signal<Swept | undefined>(undefined);
const failure = signal("");
const failed = (error: Error) => {
  failure.value = error.message;
};
const check = stream<Checked>(
  "gradient.check",
  (result) => {
    checked.value = result;
    failure.value = "";
  },
  failed,
);
const sweep = stream<Swept>(
  "gradient.sweep",
  (result) => {
    swept.value = result;
  },
  failed,
);

export default function Gradient() {
  useSignalEffect(() => {
    void connections.value;
    check({ ...problem.value, h: state.h.value });
  });
  useSignalEffect(() => {
    void connections.value;
    sweep(problem.value);
  });
  return (
    <>
      <div class="page-head">
        <h1>Gradient check</h1>
        <p class="lead">
          The analytic gradient is fast and exact, but easy to get wrong; differences are slow and approximate, but hard
          to get wrong. So compare the two.
        </p>
      </div>
      <Failure message={failure} />
      <div class="columns gradient">
        <div class="column">
          <Step />
          <Settings />
        </div>
        <div class="column">
          <Errors />
          <Coordinates />
        </div>
      </div>
    </>
  );
}

/** An error above the tolerance that is no larger than what rounding makes at this h. */
const blurred = (error: number | null, found: Checked): boolean => error !== null && error > found.tolerance;

function verdict(found: Checked): string {
  if (found.n_checked === 0) return "Nothing could be compared";
  if (!found.ok) return "Beyond the tolerance";
  return blurred(found.largest_error, found)
    ? "h is too small for a verdict: rounding explains every error"
    : "The gradient is right";
}

function Step() {
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
      <Slider label="h" value={state.h} low={1e-12} high={0.1} log step={0.25} />
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

function Settings() {
  return (
    <Panel title="Objective" help={<Formula>{"L(W, b) = (1/N) Σ L_i + λ R(W)"}</Formula>}>
      <Choice label="loss" value={state.loss} choices={shortEntries("loss", state.loss.value)} />
      {takes("loss", state.loss.value, "delta") && (
        <Slider label="margin, Δ" name="delta" value={state.delta} low={0.01} high={100} log />
      )}
      <Choice label="penalty" value={state.penalty} choices={shortEntries("penalty", state.penalty.value)} />
      {takes("penalty", state.penalty.value, "beta") && (
        <Slider label="beta, β" name="beta" value={state.beta} low={0} high={5} step={0.05} />
      )}
      <Slider label="reg, λ" name="reg" value={state.reg} low={1e-6} high={10} log />
      <Select label="points" value={state.set} choices={SETS.map((set) => [set, SET_TITLES[set]] as const)} />
      <Slider label="points, N" value={state.n} low={2} high={100} step={1} />
      <Slider label="seed of the points" value={state.seed} low={0} high={50} step={1} />
      <Slider label="seed of W and b" value={state.w} low={0} high={50} step={1} />
    </Panel>
  );
}

const coordinate = computed(() => Math.min(state.c.value, (swept.value?.names.length ?? 1) - 1));
const coordinateKey = signal("0");

function Errors() {
  useSignalEffect(() => {
    coordinateKey.value = String(coordinate.value);
  });
  const found = swept.value;
  const c = coordinate.value;
  const of = (rows: number[][]) => rows.map((row) => row[c] ?? null);
  return (
    <Panel
      title="Error against h"
      help="Absolute error of both differences, on logarithmic axes. Press or drag in the chart to choose h."
    >
      <Select
        label="coordinate"
        value={coordinateKey}
        choices={(found?.names ?? ["W[0, 0]"]).map((name, i) => [String(i), name] as const)}
        onChange={(key) => {
          state.c.value = Number(key);
        }}
      />
      {found && (
        <Chart
          lines={[
            {
              name: "forward",
              color: "var(--class-5)",
              dash: "7 4",
              x: found.h,
              y: of(found.forward),
              rings: found.kinks.map((row) => row[c] ?? false),
            },
            {
              name: "centred",
              color: "var(--class-0)",
              x: found.h,
              y: of(found.centred),
              rings: found.kinks.map((row) => row[c] ?? false),
            },
          ]}
          x={{ label: "h", log: true, low: 1e-12, high: 0.1 }}
          y={{ label: "error", log: true, low: 1e-15, high: 10 }}
          marker={state.h.value}
          height={330}
          onPick={(h) => {
            state.h.value = Number(h.toPrecision(2));
          }}
          alt={`Error of forward and centred differences of ${found.names[c]} for h from 0.1 to 1e-12`}
        />
      )}
      <small>
        ○ the interval from w − h to w + h crosses a kink, where differences do not approximate the gradient. An error
        of exactly 0 is not drawn.
      </small>
      <More title="Why these slopes?">
        <p>
          Forward: truncation <Formula>{"h f″/2"}</Formula>, so it falls with h; rounding <Formula>ε f / h</Formula>{" "}
          rises as h falls. They are equal at <Formula>{"h ≈ ε^{1/2} ≈ 10^{−8}"}</Formula>. Centred: truncation{" "}
          <Formula>{"h^2 f‴/6"}</Formula>, equal at <Formula>{"h ≈ ε^{1/3} ≈ 10^{−5}"}</Formula>, where it has about
          eleven digits: this is why linprobe checks at 1e−5.
        </p>
        <p>
          The hinge is made of straight pieces: away from its kinks there is no truncation at all, only that of the
          penalty.
        </p>
      </More>
    </Panel>
  );
}

function Coordinates() {
  const found = checked.value;
  return (
    <Panel title="Coordinate by coordinate">
      <div class="scroll">
        <table aria-label="coordinates">
          <thead>
            <tr>
              <th>coordinate</th>
              <th>value</th>
              <th>analytic</th>
              <th>forward</th>
              <th>centred</th>
              <th title="|analytic − centred| / max(|analytic|, |centred|)">relative error</th>
              <th />
            </tr>
          </thead>
          <tbody>
            {found?.coordinates.map((row, i) => (
              <tr
                class={i === coordinate.value ? "chosen" : ""}
                onClick={() => {
                  state.c.value = i;
                }}
              >
                <th scope="row">{row.name}</th>
                <td>{fixed([...found.W.flat(), ...found.b][i])}</td>
                <td>{fixed(row.analytic, 9)}</td>
                <td>
                  <Digits value={row.forward} like={row.analytic} />
                </td>
                <td>
                  <Digits value={row.centred} like={row.analytic} />
                </td>
                <td>{row.kink ? "" : shown(row.error, 2)}</td>
                <td>
                  {row.kink ? (
                    <span class="kink" title={row.kink}>
                      ○ kink: {row.kink}
                    </span>
                  ) : row.ok ? (
                    blurred(row.error, found) ? (
                      "≈ rounding"
                    ) : (
                      "✓"
                    )
                  ) : (
                    "✗ off"
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <small>
        Relative error: <Formula>|analytic − centred| / max(|analytic|, |centred|)</Formula>. Digits that differ from
        the analytic gradient are underlined. L(W, b) = {shown(found?.objective, 6)}.
      </small>
    </Panel>
  );
}

/** A number whose digits, from the first that differs from another number's, are underlined. */
function Digits({ value, like }: { value: number; like: number }) {
  const text = fixed(value, 9);
  const other = fixed(like, 9);
  let same = 0;
  while (same < text.length && text[same] === other[same]) same += 1;
  return (
    <>
      {text.slice(0, same)}
      <u>{text.slice(same)}</u>
    </>
  );
}
