// Inspect: one picture, what the model makes of it and why, its neighbours, and the six challenges live.
import { batch, computed, signal, useSignalEffect } from "@preact/signals";
import { useId } from "preact/hooks";
import { classColor } from "../classes";
import { choiceField, textField, wholeField } from "../fields";
import { linked } from "../route";
import { call, connections, request, stream } from "../socket";
import { Button, Choice, Failure, fixed, Formula, Panel, Select, shown, typed } from "../ui/controls";
import { Drop } from "../ui/drop";
import { bytesOf, Pixels } from "../ui/pixels";
import "../ui/pixels.css";
import "./inspect.css";

const SHOWN = [
  ["all", "all"],
  ["wrong", "wrong"],
  ["right", "right"],
] as const;
const METRICS = [
  ["l2", "L2"],
  ["l1", "L1"],
] as const;
const PER_PAGE = 24;
const MOST_ROWS = 20;

const state = linked("inspect", {
  run: textField(""),
  index: wholeField(0, 0, 1e9),
  own: textField(""),
  show: choiceField("all", ["all", "wrong", "right"] as const),
  label: wholeField(-1, -1, 100_000),
  found: wholeField(-1, -1, 100_000),
  page: wholeField(0, 0, 1e9),
  changes: textField(""),
  seed: wholeField(0, 0, 2 ** 31 - 1),
  first: wholeField(-1, -1, 100_000),
  second: wholeField(-1, -1, 100_000),
  metric: choiceField("l2", ["l2", "l1"] as const),
  k: wholeField(7, 1, 30),
});

interface Run {
  run: string;
  source: string;
  features: string;
  loss: string;
  result: { test_accuracy: number } | null;
}
interface Challenge {
  name: string;
  kinds: { name: string; unit: string; amounts: number[] }[];
}
interface Picture {
  height: number;
  width: number;
  bytes: string;
}
interface Opened {
  run: string;
  class_names: string[];
  shape: number[] | null;
  loss: string;
  features: string;
  n_test: number;
  n_train: number;
  why: string;
}
interface Item {
  index: number;
  label: number;
  found: number;
  picture: Picture;
}
interface Grid {
  total: number;
  n_test: number;
  accuracy: number;
  page: number;
  pages: number;
  items: Item[];
}
interface Contributions {
  first: number;
  second: number;
  why?: string;
  height: number;
  width: number;
  limit: number;
  bytes: string;
  sums: [number, number];
}
interface Look {
  name: string;
  label: number | null;
  found: number;
  before: number;
  stand_in: number | null;
  original: Picture;
  picture: Picture;
  scores: number[];
  bias: number[];
  probabilities: number[] | null;
  loss: number | null;
  contributions: Contributions;
  seconds: number;
}
interface Neighbours {
  vote: string;
  items: { name: string; distance: number; position: number; picture: Picture }[];
  seconds: number;
}

const runs = signal<Run[] | null>(null);
const challenges = signal<Challenge[]>([]);
const opened = signal<Opened | null>(null);
const grid = signal<Grid | null>(null);
const found = signal<Look | null>(null);
const nearest = signal<Neighbours | null>(null);
const failure = signal("");
const gridFailure = signal("");
const lookFailure = signal("");
const nearestFailure = signal("");
const ownFailure = signal("");
const opening = signal(false);

const severities = computed<Record<string, number>>(() => {
  const parsed: Record<string, number> = {};
  for (const part of state.changes.value.split("_")) {
    const [name, value] = part.split(".");
    if (name && /^[1-5]$/.test(value ?? "")) parsed[name] = Number(value);
  }
  return parsed;
});

function setSeverity(name: string, value: number): void {
  const next = { ...severities.peek(), [name]: value };
  state.changes.value = Object.entries(next)
    .filter(([, v]) => v > 0)
    .map(([n, v]) => `${n}.${v}`)
    .join("_");
}

/** The picture as requests name it, or undefined while there is none to ask about. */
const asked = computed(() => {
  const subject = opened.value;
  if (!subject?.shape || subject.run !== state.run.value) return undefined;
  if (!state.own.value && !subject.n_test) return undefined;
  const which = state.own.value ? { own: state.own.value } : { index: Math.min(state.index.value, subject.n_test - 1) };
  const known = severities.value;
  const usable = state.own.value
    ? Object.fromEntries(Object.entries(known).filter(([name]) => name !== "intraclass"))
    : known;
  return { run: subject.run, ...which, severities: usable, seed: state.seed.value };
});

const say = (to: typeof failure) => (error: Error) => {
  to.value = error.message;
};
const askLook = stream<Look>(
  "inspect.look",
  (result) => {
    batch(() => {
      found.value = result;
      lookFailure.value = "";
    });
  },
  say(lookFailure),
);
const askNearest = stream<Neighbours>(
  "inspect.neighbours",
  (result) => {
    batch(() => {
      nearest.value = result;
      nearestFailure.value = "";
    });
  },
  say(nearestFailure),
);
const askGrid = stream<Grid>(
  "inspect.grid",
  (result) => {
    batch(() => {
      grid.value = result;
      gridFailure.value = "";
    });
  },
  say(gridFailure),
);

const className = (k: number): string => opened.value?.class_names[k] ?? String(k);
const bytesCache = new WeakMap<Picture, Uint8Array>();
function Shown({ picture, label }: { picture: Picture; label: string }) {
  const bytes = bytesCache.get(picture) ?? bytesOf(picture.bytes);
  bytesCache.set(picture, bytes);
  return <Pixels height={picture.height} width={picture.width} bytes={bytes} kind="color" label={label} />;
}

function take(file: File | undefined): void {
  if (!file) return;
  ownFailure.value = "";
  fetch(`inspect/picture?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file }).then(
    async (response) => {
      const answer = (await response.json()) as { own?: string; error?: string };
      if (answer.own) state.own.value = answer.own;
      else ownFailure.value = answer.error ?? "the picture was not taken";
    },
    () => {
      ownFailure.value = "the picture was not taken; is linprobe lab still running?";
    },
  );
}

function choose(index: number): void {
  batch(() => {
    state.own.value = "";
    state.index.value = index;
  });
}

function ModelPanel() {
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
          {grid.value && subject.n_test > 0 ? `; test accuracy ${(100 * grid.value.accuracy).toFixed(2)}%` : ""}
        </p>
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

function GridPanel() {
  const subject = opened.value;
  const now = grid.value;
  if (!subject?.n_test) return null;
  const names = subject.class_names.map((name, k) => [String(k), name] as const);
  const any = [["-1", "any"], ...names] as const;
  const back = () => {
    state.page.value = 0;
  };
  const label = {
    get value() {
      return String(state.label.value);
    },
    set value(text: string) {
      state.label.value = Number(text);
    },
  };
  const taken = {
    get value() {
      return String(state.found.value);
    },
    set value(text: string) {
      state.found.value = Number(text);
    },
  };
  return (
    <Panel title="Test images">
      <Choice label="Show those classified" value={state.show} choices={SHOWN} onChange={back} />
      <Select label="of class" value={label as never} choices={any} onChange={back} />
      <Select label="taken for" value={taken as never} choices={any} onChange={back} />
      <Failure message={gridFailure} />
      {!now && (
        <p class="muted" role="status">
          classifying the test images ...
        </p>
      )}
      {now && (
        <>
          <div class="pager">
            <span>
              {now.total.toLocaleString("en")} of {now.n_test.toLocaleString("en")}
              {state.show.value === "wrong" ? ", surest first" : ""}
            </span>
            <span class="row">
              <Button
                label="Previous page"
                disabled={now.page === 0}
                onClick={() => {
                  state.page.value = now.page - 1;
                }}
              >
                ‹
              </Button>
              <span>
                {now.page + 1} / {now.pages}
              </span>
              <Button
                label="Next page"
                disabled={now.page + 1 >= now.pages}
                onClick={() => {
                  state.page.value = now.page + 1;
                }}
              >
                ›
              </Button>
            </span>
          </div>
          <ul class="thumbs">
            {now.items.map((item) => (
              <li key={item.index}>
                <button
                  type="button"
                  aria-pressed={!state.own.value && state.index.value === item.index}
                  onClick={() => choose(item.index)}
                  aria-label={`test image ${item.index}: ${className(item.label)}${item.found === item.label ? ", classified right" : `, taken for ${className(item.found)}`}`}
                >
                  <Shown picture={item.picture} label="" />
                  <span>{className(item.label)}</span>
                  {item.found !== item.label && <span class="miss">✗ {className(item.found)}</span>}
                </button>
              </li>
            ))}
          </ul>
          {now.total === 0 && <p class="muted">none</p>}
        </>
      )}
    </Panel>
  );
}

function VerdictPanel() {
  const now = found.value;
  const subject = opened.value;
  if (!subject?.shape) return null;
  if (!now)
    return (
      <Panel title="Picture">
        <Failure message={lookFailure} />
        <p class="muted">{subject.n_test ? "looking ..." : "Drop a picture of your own to ask this model about it."}</p>
      </Panel>
    );
  const right = now.label === now.found;
  const steps = !state.own.value && subject.n_test > 1;
  return (
    <Panel title="Picture">
      <Failure message={lookFailure} />
      <p class="answer" role="status" data-test="verdict">
        {now.label === null ? (
          <>
            taken for <b>{className(now.found)}</b>
          </>
        ) : (
          <>
            {className(now.label)}:{" "}
            <span class={right ? "hit" : "miss"}>
              {right ? (
                "✓ classified right"
              ) : (
                <>
                  ✗ taken for <b>{className(now.found)}</b>
                </>
              )}
            </span>
          </>
        )}
        {now.before !== now.found && <span class="muted">; without the challenges {className(now.before)}</span>}
      </p>
      <div class="pictures">
        <figure>
          <Shown picture={now.original} label={`${now.name} as it is`} />
          <figcaption>{now.name}</figcaption>
        </figure>
        <figure>
          <Shown picture={now.picture} label="the picture that the model sees, challenged" />
          <figcaption>
            {Object.keys(severities.value).length
              ? `challenged${now.stand_in === null ? "" : `; test image ${now.stand_in} stands in`}`
              : "no challenge yet"}
          </figcaption>
        </figure>
      </div>
      {now.loss !== null && (
        <p class="help">
          its {subject.loss} loss: <b data-test="loss">{shown(now.loss, 5)}</b>
        </p>
      )}
      {steps && (
        <div class="row">
          <Button onClick={() => choose(Math.max(0, state.index.value - 1))} disabled={state.index.value === 0}>
            Previous image
          </Button>
          <Button
            onClick={() => choose(Math.min(subject.n_test - 1, state.index.value + 1))}
            disabled={state.index.value >= subject.n_test - 1}
          >
            Next image
          </Button>
        </div>
      )}
    </Panel>
  );
}

function Bar({ value, low, high, k }: { value: number; low: number; high: number; k: number }) {
  const scale = 100 / Math.max(high - low, 1e-12);
  const zero = -low * scale;
  const end = (value - low) * scale;
  return (
    <svg viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true">
      <rect x={Math.min(zero, end)} y="2" width={Math.abs(end - zero)} height="12" fill={classColor(k)} />
      <line class="zero" x1={zero} x2={zero} y1="0" y2="16" />
    </svg>
  );
}

function ScoresPanel() {
  const now = found.value;
  const subject = opened.value;
  if (!now || !subject) return null;
  const order = now.scores.map((_, k) => k);
  const many = order.length > MOST_ROWS;
  const rows = many ? [...order].sort((a, b) => now.scores[b]! - now.scores[a]!).slice(0, MOST_ROWS) : order;
  const low = Math.min(0, ...now.scores);
  const high = Math.max(0, ...now.scores);
  return (
    <Panel
      title={now.probabilities ? "Scores and probabilities" : "Scores"}
      help={
        <>
          <Formula>s = W x + b</Formula>
          {now.probabilities ? (
            <>
              , <Formula>{"p_k = e^{s_k} / Σ e^{s_j}"}</Formula>
            </>
          ) : (
            <>; a model of the {subject.loss} loss gives no probabilities</>
          )}
        </>
      }
    >
      <div class="scroll">
        <table class="scores" data-test="scores">
          <thead>
            <tr>
              <th scope="col">class</th>
              <th scope="col" class="bar">
                <span class="muted">score</span>
              </th>
              <th scope="col">s</th>
              {now.probabilities && <th scope="col">p</th>}
            </tr>
          </thead>
          <tbody>
            {rows.map((k) => (
              <tr key={k} class={k === now.found ? "chosen" : ""}>
                <th scope="row">
                  {className(k)}
                  {k === now.label ? " (true)" : ""}
                  {k === now.found ? " ←" : ""}
                </th>
                <td class="bar">
                  <Bar value={now.scores[k]!} low={low} high={high} k={k} />
                </td>
                <td>{fixed(now.scores[k], 3)}</td>
                {now.probabilities && <td>{(100 * now.probabilities[k]!).toFixed(1)}%</td>}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {many && (
        <small>
          the {MOST_ROWS} highest of {now.scores.length}
        </small>
      )}
    </Panel>
  );
}

function Severity({
  name,
  label,
  meaning,
  disabled,
}: {
  name: string;
  label: string;
  meaning: (value: number) => string;
  disabled?: boolean;
}) {
  const id = useId();
  const value = severities.value[name] ?? 0;
  return (
    <div class={`severity ${value ? "on" : ""}`}>
      <label for={id}>{label}</label>
      <input
        id={id}
        type="range"
        min={0}
        max={5}
        step={1}
        value={value}
        disabled={disabled}
        aria-valuetext={`severity ${value}, ${meaning(value)}`}
        onInput={(event) => setSeverity(name, Number(event.currentTarget.value))}
      />
      <output for={id}>
        {value}: {meaning(value)}
      </output>
    </div>
  );
}

/** Amounts of a challenge, short enough for the place next to its slider. */
const UNITS: Record<string, (amount: number) => string> = {
  rotation: (a) => `${a}°`,
  scale: (a) => `x ${a} or 1/${a}`,
  perspective: (a) => `${Math.round(100 * a)}% closer`,
  mirror: (a) => `${Math.round(100 * a)}% of pictures`,
  brightness: (a) => `${a} grey levels`,
  contrast: (a) => `${Math.round(100 * a)}% left`,
  gamma: (a) => `exponent ${a}`,
  shadow: (a) => `${Math.round(100 * a)}% darker`,
  elastic: (a) => `${(100 * a).toFixed(1)}% of the side`,
  patch: (a) => `${Math.round(100 * a)}% of the side`,
  rim: (a) => `${Math.round(100 * a)}% at the rim`,
};

function ChallengesPanel() {
  const id = useId();
  const subject = opened.value;
  if (!subject?.shape) return null;
  const any = Object.keys(severities.value).length > 0;
  return (
    <Panel
      title="The six challenges"
      help="Severity 0..5 of each; the scores follow. What is drawn by chance, a direction or a place, hangs on the seed and the picture alone."
    >
      <div class="severities">
        {challenges.value.map((challenge) => (
          <fieldset>
            <legend>{challenge.name}</legend>
            {challenge.kinds.map((kind) => (
              <Severity
                name={kind.name}
                label={kind.name}
                meaning={(v) =>
                  v ? (UNITS[kind.name]?.(kind.amounts[v - 1]!) ?? `${kind.amounts[v - 1]} ${kind.unit}`) : "as it is"
                }
              />
            ))}
          </fieldset>
        ))}
        <fieldset>
          <legend>intraclass variation</legend>
          <Severity
            name="intraclass"
            label="another one"
            disabled={Boolean(state.own.value) || !subject.n_test}
            meaning={(v) => (v ? ["nearest", "near", "further", "far", "furthest"][v - 1]! : "the picture itself")}
          />
          <small>
            another test image of its class in its place, from the nearest to the furthest of five groups that look
            alike
          </small>
        </fieldset>
      </div>
      <div class="row">
        <label for={id}>
          <small>seed</small>
        </label>
        <input
          id={id}
          class="number seed"
          type="number"
          min={0}
          max={2 ** 31 - 1}
          step={1}
          value={state.seed.value}
          onChange={(event) => {
            const value = typed(event.currentTarget.value);
            if (value !== undefined) state.seed.value = Math.min(2 ** 31 - 1, Math.max(0, Math.round(value)));
            event.currentTarget.value = String(state.seed.value);
          }}
        />
        <Button
          onClick={() => {
            state.changes.value = "";
          }}
          disabled={!any}
        >
          All back to 0
        </Button>
      </div>
    </Panel>
  );
}

function ContributionsPanel() {
  const now = found.value;
  const subject = opened.value;
  if (!now || !subject) return null;
  const { contributions } = now;
  const choice = (start: string) =>
    [["-1", start], ...subject.class_names.map((name, k) => [String(k), name] as const)] as const;
  const first = {
    get value() {
      return String(state.first.value);
    },
    set value(text: string) {
      state.first.value = Number(text);
    },
  };
  const second = {
    get value() {
      return String(state.second.value);
    },
    set value(text: string) {
      state.second.value = Number(text);
    },
  };
  const size = (contributions.height ?? 0) * (contributions.width ?? 0);
  const bytes = contributions.why ? new Uint8Array() : bytesOf(contributions.bytes);
  const [a, b] = [contributions.first, contributions.second];
  const parts = contributions.why
    ? []
    : [
        { title: className(a), sum: contributions.sums[0], bias: now.bias[a]! },
        { title: className(b), sum: contributions.sums[1], bias: now.bias[b]! },
        {
          title: "the difference",
          sum: contributions.sums[0] - contributions.sums[1],
          bias: now.bias[a]! - now.bias[b]!,
        },
      ];
  return (
    <Panel
      title="Contributions, class against class"
      help={
        <>
          Each pixel's part of <Formula>W_k x</Formula>
          {subject.features === "pixels" ? "" : ", x being features: each is shared by the pixels it comes from"}: blue
          raises the score of the class, red lowers it; their sum and the bias are the score.
          {!contributions.why && <> The ends of the colours stand for ±{shown(contributions.limit, 2)}.</>}
        </>
      }
    >
      <div class="pair">
        <Select label="Class" value={first as never} choices={choice("the highest score")} />
        <Select label="against" value={second as never} choices={choice("the next highest")} />
      </div>
      {contributions.why ? (
        <p class="muted">{contributions.why}</p>
      ) : (
        <div class="maps">
          {parts.map((part, i) => (
            <figure>
              <Pixels
                height={contributions.height}
                width={contributions.width}
                bytes={bytes.subarray(i * size, (i + 1) * size)}
                kind="signed"
                label={`what each pixel adds to ${part.title}`}
              />
              <figcaption>
                <b>{part.title}</b>
                <br />
                {fixed(part.sum)} {part.bias < 0 ? "−" : "+"} {fixed(Math.abs(part.bias))} ={" "}
                <b>{fixed(part.sum + part.bias)}</b>
              </figcaption>
            </figure>
          ))}
        </div>
      )}
    </Panel>
  );
}

function NeighboursPanel() {
  const now = nearest.value;
  const subject = opened.value;
  const id = useId();
  if (!subject?.n_train) return null;
  return (
    <Panel
      title="Nearest training images"
      help={
        now ? (
          <>
            By <Formula>{state.metric.value === "l2" ? "d = (Σ (x_i − x′_i)^2)^{1/2}" : "d = Σ |x_i − x′_i|"}</Formula>{" "}
            over all pixels, whatever the model; <b data-test="vote">{now.vote}</b> has the most votes.
          </>
        ) : (
          "searching ..."
        )
      }
    >
      <div class="row">
        <Choice label="Distance" value={state.metric} choices={METRICS} />
        <div class="control inline">
          <label for={id}>neighbours</label>
          <input
            id={id}
            class="number seed"
            type="number"
            min={1}
            max={30}
            step={1}
            value={state.k.value}
            onChange={(event) => {
              const value = typed(event.currentTarget.value);
              if (value !== undefined) state.k.value = Math.min(30, Math.max(1, Math.round(value)));
              event.currentTarget.value = String(state.k.value);
            }}
          />
        </div>
      </div>
      <Failure message={nearestFailure} />
      <ul class="thumbs" data-test="neighbours">
        {now?.items.map((item) => (
          <li class="still">
            <Shown picture={item.picture} label={`training image ${item.position}: ${item.name}`} />
            {item.name}
            <br />d {shown(item.distance, 4)}
          </li>
        ))}
      </ul>
    </Panel>
  );
}

export default function Inspect() {
  useSignalEffect(() => {
    void connections.value;
    call<{ runs: Run[]; challenges: Challenge[] }>("inspect.state").then((sent) => {
      batch(() => {
        runs.value = sent.runs;
        challenges.value = sent.challenges;
        if (!state.run.peek() && sent.runs[0]) state.run.value = sent.runs[0].run;
      });
    }, say(failure));
  });
  useSignalEffect(() => {
    void connections.value;
    const run = state.run.value;
    if (!run || opened.peek()?.run === run) return undefined;
    batch(() => {
      opened.value = grid.value = found.value = nearest.value = null;
      failure.value = lookFailure.value = gridFailure.value = nearestFailure.value = "";
      opening.value = true;
    });
    return request<Opened>(
      "inspect.open",
      { run },
      (sent) => {
        batch(() => {
          opened.value = sent;
          opening.value = false;
        });
      },
      (error) => {
        batch(() => {
          failure.value = error.message;
          opening.value = false;
        });
      },
    );
  });
  useSignalEffect(() => {
    const subject = opened.value;
    if (!subject?.n_test || !connections.value) return;
    askGrid({
      run: subject.run,
      show: state.show.value,
      label: state.label.value < 0 ? undefined : state.label.value,
      found: state.found.value < 0 ? undefined : state.found.value,
      page: state.page.value,
      size: PER_PAGE,
    });
  });
  useSignalEffect(() => {
    const which = asked.value;
    const pair = {
      first: state.first.value < 0 ? undefined : state.first.value,
      second: state.second.value < 0 ? undefined : state.second.value,
    };
    if (which && connections.value) askLook({ ...which, ...pair });
  });
  useSignalEffect(() => {
    const which = asked.value;
    if (which && opened.value?.n_train && connections.value)
      askNearest({ ...which, k: state.k.value, metric: state.metric.value });
  });
  return (
    <>
      <div class="page-head">
        <h1>Inspect</h1>
        <p class="lead">
          What a trained model makes of one picture, which pixels speak for which class, what it looks like to its
          neighbours, and how little it takes to change the answer.
        </p>
      </div>
      <div class="columns inspect">
        <div class="stack">
          <ModelPanel />
          <GridPanel />
        </div>
        <div class="stack">
          <div class="two">
            <div class="stack">
              <VerdictPanel />
              <ScoresPanel />
            </div>
            <ChallengesPanel />
          </div>
          <ContributionsPanel />
          <NeighboursPanel />
        </div>
      </div>
    </>
  );
}
