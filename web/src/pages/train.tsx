// Train: a source, settings, one training at a time watched live, and the runs that there are.
import { batch, computed, signal, useSignalEffect } from "@preact/signals";
import { useEffect, useId } from "preact/hooks";
import { choiceField, flagField, linked, numberField, textField, wholeField } from "../route";
import { call, connections, hear } from "../socket";
import { classColor } from "../classes";
import { Chart, type Line } from "../ui/chart";
import { Button, Check, Choice, Failure, fixed, Formula, More, Panel, Select, shown, Slider, typed } from "../ui/controls";
import { LOSS_FORMULAS, SCHEDULE_FORMULAS, UPDATE_FORMULAS } from "../playground/names";
import { Drop } from "../ui/drop";
import { bytesOf, Pixels } from "../ui/pixels";
import "../ui/pixels.css";
import "./train.css";

const LOSSES = [["softmax", "softmax"], ["hinge", "hinge"], ["squared-hinge", "squared hinge"]] as const;
const PENALTIES = [["l2", "L2: sum W²"], ["l1", "L1: sum |W|"], ["elastic-net", "elastic net: beta W² + |W|"], ["none", "none"]] as const;
const OPTIMIZERS = [["exact", "exact"], ["sgd", "SGD"], ["gd", "gradient descent"]] as const;
const FEATURES = [["pixels", "pixels"], ["hog", "hog: edges"], ["color", "color: hues"], ["hog+color", "hog + color"], ["patches", "patches"]] as const;
const PREPROCESS = [["auto", "automatic"], ["center", "centre on the mean image"], ["unit", "divide by 255"], ["standardize", "standardise"], ["none", "none"]] as const;
const SCHEDULES = [["cosine", "cosine"], ["constant", "constant"], ["step", "step"], ["exponential", "exponential"], ["inverse", "1/t"]] as const;
const UPDATES = [["momentum", "momentum"], ["plain", "plain"], ["nesterov", "Nesterov"], ["adagrad", "AdaGrad"], ["rmsprop", "RMSProp"], ["adam", "Adam"]] as const;
const SIZES = [["as", "as they are"], ["8", "8 x 8"], ["16", "16 x 16"], ["24", "24 x 24"], ["32", "32 x 32"], ["48", "48 x 48"], ["64", "64 x 64"], ["96", "96 x 96"], ["128", "128 x 128"]] as const;
const AXES = [["epoch", "epochs"], ["passes", "passes"], ["seconds", "seconds"]] as const;
const COMPARED = [["objective", "objective"], ["train_accuracy", "training accuracy"], ["validation_accuracy", "validation accuracy"], ["gradient_norm", "gradient norm"]] as const;

const keys = <T extends string>(choices: readonly (readonly [T, string])[]): readonly T[] => choices.map(([key]) => key);

const state = linked("train", {
  /** "" until it is known what there is: then the first, which is one that the command line named if it named any. */
  source: textField(""),
  size: choiceField("as", keys(SIZES)),
  loss: choiceField("softmax", keys(LOSSES)),
  penalty: choiceField("l2", keys(PENALTIES)),
  reg: numberField(1e-3, 0, 100),
  beta: numberField(1, 0, 100),
  delta: numberField(1, 1e-6, 1000),
  optimizer: choiceField("exact", keys(OPTIMIZERS)),
  tol: numberField(1e-4, 1e-9, 1),
  max_iter: wholeField(1000, 0, 1_000_000),
  auto: flagField(true),
  rate: numberField(0.01, 1e-8, 100),
  batch: wholeField(32, 1, 100_000),
  epochs: wholeField(20, 1, 1_000_000),
  update: choiceField("momentum", keys(UPDATES)),
  schedule: choiceField("cosine", keys(SCHEDULES)),
  momentum: numberField(0.9, 0, 0.999),
  average: flagField(false),
  patience: wholeField(0, 0, 10_000),
  features: choiceField("pixels", keys(FEATURES)),
  flips: flagField(false),
  patches: wholeField(500, 2, 100_000),
  preprocess: choiceField("auto", keys(PREPROCESS)),
  validation: numberField(0.1, 0, 0.9),
  seed: wholeField(0, 0, 2 ** 31 - 1),
  skip: flagField(false),
  x: choiceField("epoch", keys(AXES)),
  view: choiceField("color", ["color", "signed"] as const),
  runs: textField(""),
  metric: choiceField("objective", keys(COMPARED)),
});

interface Source { key: string; label: string; kind: string; upload: { n_files: number; size: [number, number] | null; one_size: boolean } | null }
type Row = Record<string, number | null> & { epoch: number };
interface Job {
  run: string; source: string; phase: string; message: string; running: boolean;
  settings: { classifier: Record<string, unknown> }; metrics: Metrics | null;
  rows?: Row[]; glimpses?: [number, number | null][];
}
interface Metrics {
  objective: number | null; train_accuracy: number; validation_accuracy: number | null; test_accuracy: number; seconds: number;
  passes: number; epochs: number; status: string; status_text: string; n_test: number;
  certificate: { relative_gap: number; lower_bound: number } | null; penalty?: string; reg?: number;
}
interface Run {
  run: string; error?: string; kind: string; source: string; loss: string; penalty: string; reg: number | null; optimizer: string;
  features: string; finished: boolean; has_model: boolean; has_report: boolean; result: Metrics | null;
}
interface Templates { run: string; epoch: number | null; class_names: string[]; height: number; width: number; limit: number; color: string; signed: string }
interface Description { source: string; format: string; pictures: boolean; shape: number[]; class_names: string[]; counts: Record<string, number>; skipped: number }

const sources = signal<Source[]>([]);
const job = signal<Job | null>(null);
const rows = signal<Row[]>([]);
const glimpses = signal<[number, number][]>([]);
/** The last glimpse, which the figures show at once. */
const latest = signal<[number, number]>([0, 0]);
const progress = signal<{ what: string; done: number; total: number } | null>(null);
const templates = signal<Templates | null>(null);
const runs = signal<Run[]>([]);
const traces = signal<Record<string, Row[]>>({});
const folder = signal("runs");
const reports = signal(false);
const mostBytes = signal(0);
const about = signal<Description | null>(null);
const reading = signal(false);
const failure = signal("");
const sourceFailure = signal("");
/** Of the last upload: not for the description of another source, which may come later, to take away. */
const uploadFailure = signal("");
const runsFailure = signal("");
/** Of stopping, keeping, resuming: said beside their buttons. */
const liveFailure = signal("");
const upload = signal<number | null>(null);

const imageSize = computed(() => (state.size.value === "as" ? undefined : [Number(state.size.value), Number(state.size.value)]));
const busy = computed(() => job.value?.running ?? false);
const chosenRuns = computed(() => state.runs.value.split("/").filter(Boolean));
const say = (to: typeof failure) => (error: Error) => {
  to.value = error.message;
};

/** Counts what was told of the state of a training: an answer that was on its way meanwhile is older. */
let states = 0;

async function load(): Promise<void> {
  const before = states;
  const found = await call<{ sources: Source[]; job: Job | null; runs: Run[]; folder: string; reports: boolean; most_bytes: number }>("train.state");
  batch(() => {
    sources.value = found.sources;
    if (!state.source.peek()) state.source.value = found.sources[0]?.key ?? "";
    if (states === before) job.value = found.job;
    if (found.job?.run === job.peek()?.run) {
      const known = found.job?.rows ?? [];
      const last = known.at(-1)?.epoch ?? -1;
      rows.value = [...known, ...rows.peek().filter((row) => row.epoch > last)];
    }
    if (!glimpses.peek().length) glimpses.value = ((found.job?.glimpses ?? []) as [number, number][]).filter((one) => one[1] !== null);
    runs.value = found.runs;
    folder.value = found.folder;
    reports.value = found.reports;
    mostBytes.value = found.most_bytes;
    if (found.job && !found.job.running) void showTemplates(found.job.run);
  });
}

async function showTemplates(run: string): Promise<void> {
  try {
    templates.value = await call<Templates>("train.templates", { run });
  } catch {
    if (templates.peek()?.run !== run) templates.value = null; // features and vectors have none
  }
}

const refreshRuns = (): void => {
  call<Run[]>("train.runs").then((found) => {
    runs.value = found;
  }, say(runsFailure));
};

hear<Job>("train.state", (told) => {
  const before = job.peek();
  states += 1;
  draw(); // what came before it
  batch(() => {
    if (before?.run !== told.run || (told.phase === "starting" && !before.running)) {
      rows.value = [];
      glimpses.value = [];
      latest.value = [0, 0];
      progress.value = null;
      templates.value = templates.peek()?.run === told.run ? templates.peek() : null;
    }
    job.value = told;
    if (!told.running) progress.value = null;
  });
  if (told.phase === "starting") load().catch(say(failure)); // of a run that goes on, the rows so far
  else if (told.running !== before?.running || told.run !== before?.run) refreshRuns();
  if (told.phase === "finished") void showTemplates(told.run);
});
// What comes is shown together, five times a second as figures and at least every other time in the curves: on a machine
// of two cores a browser that draws each message takes them from the training (benchmarks/lab.py).
const FRAME_MS = 185;
const CURVE_MS = 340;
let waiting: { rows: Row[]; glimpses: [number, number][]; templates?: Templates } = { rows: [], glimpses: [] };
let drawn = 0;
let curved = 0;
let timer: ReturnType<typeof setTimeout> | undefined;

function draw(): void {
  clearTimeout(timer);
  timer = undefined;
  drawn = performance.now();
  const now = waiting;
  const curves = now.rows.length > 0 || drawn - curved > CURVE_MS;
  waiting = { rows: [], glimpses: curves ? [] : now.glimpses };
  if (curves) curved = drawn;
  batch(() => {
    if (now.glimpses.length) latest.value = now.glimpses.at(-1)!;
    if (now.rows.length) {
      const first = now.rows[0]!.epoch;
      rows.value = [...rows.peek().filter((row) => row.epoch < first), ...now.rows];
      progress.value = null;
    }
    if (curves && now.glimpses.length) glimpses.value = [...glimpses.peek().slice(-1999), ...now.glimpses];
    if (now.templates) templates.value = now.templates;
  });
}

const soon = (): void => {
  timer ??= setTimeout(draw, Math.max(0, FRAME_MS - (performance.now() - drawn)));
};

hear<{ rows: Row[] }>("train.rows", (told) => {
  const first = told.rows[0]?.epoch ?? 0;
  waiting.rows = [...waiting.rows.filter((row) => row.epoch < first), ...told.rows];
  soon();
});
hear<{ epoch: number; data_loss: number | null }>("train.glimpse", (told) => {
  if (told.data_loss !== null) waiting.glimpses.push([told.epoch, told.data_loss]);
  soon();
});
hear<{ what: string; done: number; total: number }>("train.reading", (told) => {
  progress.value = told;
});
hear("train.reported", refreshRuns);
hear<Templates>("train.templates", (told) => {
  waiting.templates = told;
  soon();
});

const settings = () => ({
  loss: state.loss.peek(), penalty: state.penalty.peek(), reg: state.reg.peek(), beta: state.beta.peek(), delta: state.delta.peek(),
  optimizer: state.optimizer.peek(), preprocess: state.preprocess.peek(), tol: state.tol.peek(), max_iter: state.max_iter.peek(),
  batch_size: state.batch.peek(), epochs: state.epochs.peek(), learning_rate: state.auto.peek() ? undefined : state.rate.peek(),
  schedule: state.schedule.peek(), update: state.update.peek(), momentum: state.momentum.peek(), average: state.average.peek(),
  patience: state.patience.peek() > 0 ? state.patience.peek() : undefined,
  features: state.features.peek(), flips: state.flips.peek(), patches: state.features.peek() === "patches" ? state.patches.peek() : undefined,
  validation: state.validation.peek(), seed: state.seed.peek(), image_size: imageSize.peek(), skip_bad: state.skip.peek(),
});

function start(): void {
  failure.value = "";
  call<Job>("train.start", { source: state.source.peek(), settings: settings() }).then(() => {
    refreshRuns();
    // on a narrow screen it lies below the settings
    const panel = document.querySelector(".panel.live");
    if (panel && panel.getBoundingClientRect().top > 0.4 * innerHeight) panel.scrollIntoView({ block: "start" });
  }, say(failure));
}

function take(file: File | undefined): void {
  if (!file) return;
  uploadFailure.value = "";
  if (mostBytes.peek() && file.size > mostBytes.peek()) {
    uploadFailure.value = `${file.name} has ${Math.round(file.size / 2 ** 20)} MiB; the lab takes up to ${mostBytes.peek() / 2 ** 20}. Name it on the command line: linprobe lab ${file.name}`;
    return;
  }
  upload.value = 0;
  const request = new XMLHttpRequest();
  request.open("POST", `train/upload?name=${encodeURIComponent(file.name)}`);
  request.responseType = "json";
  request.upload.onprogress = (event) => {
    upload.value = event.total ? event.loaded / event.total : 0;
  };
  request.onloadend = () => {
    upload.value = null;
    const answer = request.response as { source?: string; sources?: Source[]; error?: string } | null;
    if (answer?.source && answer.sources) {
      const { source } = answer;
      const found = answer.sources.find((one) => one.key === source)?.upload;
      batch(() => {
        sources.value = answer.sources!;
        state.source.value = source;
        // Photos of many sizes, or large ones, are resized: a linear map of millions of pixels learns noise.
        if (found && (!found.one_size || (found.size && Math.max(...found.size) > 128))) state.size.value = "32";
      });
    } else uploadFailure.value = answer?.error ?? "the upload failed; is linprobe lab still running?";
  };
  request.send(file);
}

function SourcePanel() {
  useSignalEffect(() => {
    void connections.value;
    const asked = { source: state.source.value, image_size: imageSize.value, seed: state.seed.value, skip_bad: state.skip.value };
    if (!sources.value.some((one) => one.key === asked.source)) {
      about.value = null;
      return;
    }
    batch(() => {
      reading.value = true;
      if (about.peek()?.source !== asked.source) about.value = null; // what is shown is of this source
      sourceFailure.value = "";
    });
    call<Description>("train.describe", asked).then(
      (found) => {
        if (state.source.peek() !== asked.source) return;
        batch(() => {
          about.value = found;
          reading.value = false;
          sourceFailure.value = "";
        });
      },
      (error: Error) => {
        if (state.source.peek() !== asked.source) return;
        batch(() => {
          about.value = null;
          reading.value = false;
          sourceFailure.value = error.message;
        });
      },
    );
  });
  const known = sources.value;
  const current = known.find((one) => one.key === state.source.value);
  const found = about.value;
  const choices = known.map((one) => [one.key, one.kind === "uploaded" ? `${one.label} (uploaded)` : one.label] as const);
  if (known.length && !current) choices.unshift([state.source.value, `${state.source.value} (not here)`]);
  return (
    <Panel title="Source">
      <Select label="Images" value={state.source} choices={choices} />
      {known.length > 0 && !current && (
        <p class="error" role="alert">This lab does not have {state.source.value}; choose another source, or start it with <code>linprobe lab SOURCE</code>.</p>
      )}
      {current && current.kind !== "built-in" && <Select label="Resize pictures" value={state.size} choices={SIZES} />}
      {current && current.kind !== "built-in" && <Check label="Leave out broken pictures" value={state.skip} />}
      <Drop label="Drop a .zip with a folder of pictures per class here, or choose one:" accept=".zip,application/zip" onFile={take}>
        {upload.value !== null && <progress value={upload.value} max={1} aria-label="upload" />}
      </Drop>
      <Failure message={uploadFailure} />
      <Failure message={sourceFailure} />
      {reading.value && <p class="muted" role="status">reading ...</p>}
      {found && (
        <dl class="facts">
          <dt>what</dt>
          <dd>{found.pictures ? `pictures of ${found.shape.join(" x ")}` : `vectors of ${found.shape[0]} numbers`} ({found.format})</dd>
          <dt>classes</dt>
          <dd>{found.class_names.length}: {found.class_names.slice(0, 12).join(", ")}{found.class_names.length > 12 ? ", ..." : ""}</dd>
          <dt>images</dt>
          <dd>{Object.entries(found.counts).map(([name, n]) => `${n.toLocaleString("en")} ${name}`).join(", ")}{found.counts.test ? "" : "; a fifth is held out for the test"}</dd>
          {found.skipped > 0 && <><dt>left out</dt><dd>{found.skipped}, broken</dd></>}
        </dl>
      )}
      {current?.kind === "uploaded" && (
        <div class="row">
          <Button kind="quiet" onClick={() => {
            call<Source[]>("train.forget", { source: current.key }).then((left) => {
              batch(() => {
                sources.value = left;
                state.source.value = left[0]?.key ?? "digits";
              });
            }, say(sourceFailure));
          }}>Remove this upload</Button>
        </div>
      )}
    </Panel>
  );
}

function NumberField({ label, value, low, high }: { label: string; value: { value: number }; low: number; high: number }) {
  const id = useId();
  return (
    <div class="control field">
      <label for={id}>{label}</label>
      <input
        id={id} class="number" type="number" min={low} max={high} step={1} value={value.value}
        onChange={(event) => {
          const found = typed(event.currentTarget.value);
          if (found !== undefined) value.value = Math.min(high, Math.max(low, Math.round(found)));
          event.currentTarget.value = String(value.value);
        }}
      />
    </div>
  );
}

function SettingsPanel() {
  const { optimizer, loss, penalty, features } = state;
  const sgd = optimizer.value === "sgd";
  return (
    <Panel title="Settings" help={<>Minimises <Formula>L(W, b) = (1/N) Σ L_i + λ R(W)</Formula>, as <code>linprobe train</code> does: same settings, same bits.</>}>
      <Choice label="Loss" value={loss} choices={LOSSES} />
      <small><Formula>{LOSS_FORMULAS[loss.value]}</Formula></small>
      {loss.value !== "softmax" && <Slider label="margin, Δ" name="delta" value={state.delta} low={0.01} high={100} log />}
      <Select label="Penalty R(W)" value={penalty} choices={PENALTIES} />
      {penalty.value !== "none" && <Slider label="reg, λ" name="reg" value={state.reg} low={1e-7} high={10} log />}
      {penalty.value === "elastic-net" && <Slider label="beta, β" name="beta" value={state.beta} low={0.01} high={10} log />}
      <Choice label="Optimizer" value={optimizer} choices={OPTIMIZERS} />
      {sgd ? (
        <>
          <Check label="learning rate η chosen by linprobe" value={state.auto} />
          {!state.auto.value && <Slider label="learning rate, η" name="learning rate" value={state.rate} low={1e-6} high={10} log />}
          <NumberField label="batch size" value={state.batch} low={1} high={100_000} />
          <NumberField label="epochs" value={state.epochs} low={1} high={1_000_000} />
          <Select label="update" value={state.update} choices={UPDATES} />
          <small><Formula>{UPDATE_FORMULAS[state.update.value] ?? ""}</Formula></small>
        </>
      ) : (
        <>
          <Slider
            label="tol" value={state.tol} low={1e-8} high={0.1} log
            help={optimizer.value === "exact" ? "The relative gap to reach: (L − lower bound) / L." : "The norm of the gradient to reach."}
          />
          <NumberField label="iterations at most" value={state.max_iter} low={0} high={1_000_000} />
        </>
      )}
      <Select label="Features" value={features} choices={FEATURES} />
      {features.value === "patches" && <NumberField label="patches" value={state.patches} low={2} high={100_000} />}
      <Slider label="validation" value={state.validation} low={0} high={0.5} step={0.05} help="The share of the training images that is held out." />
      <More title="More settings">
        {sgd && (
          <>
            <Select label="schedule" value={state.schedule} choices={SCHEDULES} />
            <small><Formula>{SCHEDULE_FORMULAS[state.schedule.value] ?? ""}</Formula></small>
            {(state.update.value === "momentum" || state.update.value === "nesterov") && <Slider label="momentum, μ" name="momentum" value={state.momentum} low={0} high={0.99} />}
            <Check label="average the second half" value={state.average} />
            <NumberField label="patience (0: none)" value={state.patience} low={0} high={10_000} />
          </>
        )}
        <Select label="preprocess" value={state.preprocess} choices={PREPROCESS} />
        <Check label="mirror images as well (flips)" value={state.flips} />
        <NumberField label="seed" value={state.seed} low={0} high={2 ** 31 - 1} />
      </More>
      <Failure message={failure} />
      <div class="row">
        <Button kind="main" onClick={start} disabled={busy.value || !about.value}>Start training</Button>
        {busy.value && <small>one training at a time: {job.value?.run} is running</small>}
      </div>
    </Panel>
  );
}

interface Series {
  name: string;
  /** Number of its colour and its dash. */
  k: number;
  x: readonly number[];
  y: readonly number[];
  /** A single point, as of a value that is known once. */
  dot?: boolean;
}

const DASHES = ["", "7 4", "2 3", "9 3 2 3", "4 2", "1 4", "", "7 4"];
const MOST_POINTS = 400;

/** A chart of lines that grow: evenly thinned, with the last value of each in the legend. */
function Curves({ title, over, series, log, percent, aim, height = 200 }: {
  title: string; over: string; series: readonly Series[]; log?: boolean; percent?: boolean; aim?: { name: string; value: number } | undefined; height?: number;
}) {
  const lines: Line[] = [];
  const said: string[] = [];
  let [first, last] = [Infinity, -Infinity];
  series.forEach(({ name, k, x, y, dot }) => {
    const kept = x.map((_, i) => i).filter((i) => Number.isFinite(x[i]) && Number.isFinite(y[i]) && (!log || y[i]! > 0));
    if (!kept.length) return;
    const stride = Math.ceil(kept.length / MOST_POINTS);
    const drawn = kept.filter((_, at) => at % stride === 0 || at === kept.length - 1);
    const end = y[kept.at(-1)!]!;
    const text = percent ? `${shown(100 * end, 3)}%` : shown(end, 3);
    said.push(`${name} ${text}`);
    [first, last] = [Math.min(first, x[drawn[0]!]!), Math.max(last, x[drawn.at(-1)!]!)];
    lines.push({
      name: `${name} ${text}`, color: classColor(k), dash: DASHES[k % DASHES.length]!,
      x: drawn.map((i) => x[i]!), y: drawn.map((i) => (percent ? 100 : 1) * y[i]!), ...(dot ? { rings: [true] } : {}),
    });
  });
  if (aim && lines.length) lines.push({ name: `${aim.name} ${shown(aim.value)}`, color: "var(--muted)", dash: "1 5", x: [first, last], y: [aim.value, aim.value] });
  return (
    <div class="curves">
      <h3>{title}{percent ? ", %" : ""}</h3>
      <Chart lines={lines} x={{ label: over }} y={{ label: "", log: log ?? false }} height={height} alt={`${title} over ${over}; at the end: ${said.join(", ") || "nothing yet"}`} />
    </div>
  );
}

const column = (table: readonly Row[], name: string): number[] => table.map((row) => row[name] ?? NaN);
const PHASES: Record<string, string> = {
  starting: "Starting", reading: "Reading", training: "Training", stopping: "Stopping", finished: "Finished", stopped: "Stopped", failed: "Failed",
};

const planned = computed(() => {
  const asked = job.value?.settings.classifier;
  return Number(asked?.optimizer === "sgd" ? asked.epochs : 0);
});
/** Epochs; those of a training that has ended are whole: it goes on from there. */
const done = computed(() => Math.max(busy.value ? latest.value[0] : 0, rows.value.at(-1)?.epoch ?? 0));
const axisName = computed(() => AXES.find(([key]) => key === state.x.value)?.[1] ?? "");

function ask(method: string): void {
  liveFailure.value = "";
  call(method).catch(say(liveFailure));
}

/** The panel itself changes rarely; what moves with every update are small parts of it, each by itself. */
function LivePanel() {
  const now = job.value;
  return (
    <Panel title="Training" name="live">
      <div class="status-line">
        <span role="status">
          <strong>{now ? (PHASES[now.phase] ?? now.phase) : "No training yet"}</strong> {now?.run} <span class="muted">{now?.message}</span>
        </span>
        <Figures />
      </div>
      {!now && <p class="muted">Choose a source and settings, then start: loss, gap, accuracy and templates are drawn as they form.</p>}
      <Progress />
      <div class="row">
        <Button onClick={() => ask("train.stop")} disabled={!now?.running || now.phase === "stopping"}>Stop (can be resumed)</Button>
        <Button onClick={() => ask("train.finish")} disabled={!now?.running || now.phase === "stopping"}>Keep as it is now</Button>
        {now && !now.running && now.phase !== "finished" && (
          <>
            <Button kind="main" onClick={() => goOn(now.run, false)}>Resume</Button>
            <Button onClick={() => goOn(now.run, true)}>Keep what was reached</Button>
          </>
        )}
        {now?.phase === "finished" && <RunLinks run={now.run} />}
      </div>
      <Failure message={liveFailure} />
      {now?.metrics && <Result metrics={now.metrics} />}
      {now && (
        <>
          <Choice label="Drawn over" value={state.x} choices={AXES} />
          <div class="charts">
            <LossCurves />
            <AccuracyCurves />
            <GapCurves />
          </div>
        </>
      )}
    </Panel>
  );
}

function Figures() {
  const last = rows.value.at(-1);
  if (!job.value || !last) return null;
  const loss = job.value.running && latest.value[0] > last.epoch ? latest.value[1] : last.data_loss;
  return (
    <span class="figures" data-test="figures">
      epoch {shown(done.value, 4)}{planned.value ? ` of ${planned.value}` : ""} · loss {fixed(loss, 4)} · {shown(last.passes, 4)} passes · {shown(last.seconds, 3)} s
    </span>
  );
}

function Progress() {
  const now = progress.value;
  if (!job.value?.running) return null;
  if (now) {
    return (
      <div>
        <small>{now.what} {now.done.toLocaleString("en")} of {now.total.toLocaleString("en")}</small>
        <progress value={now.done} max={Math.max(now.total, 1)} aria-label={now.what} />
      </div>
    );
  }
  return planned.value > 0 ? <progress value={done.value} max={planned.value} aria-label="epochs done" /> : null;
}

function LossCurves() {
  const table = rows.value;
  const xs = column(table, state.x.value);
  const series: Series[] = [{ name: "objective", k: 0, x: xs, y: column(table, "objective") }, { name: "its data loss", k: 1, x: xs, y: column(table, "data_loss") }];
  if (state.x.value === "epoch" && glimpses.value.length) {
    series.push({ name: "batches now", k: 5, x: glimpses.value.map((g) => g[0]), y: glimpses.value.map((g) => g[1]) });
  }
  if (table.some((row) => row.validation_loss !== null)) series.push({ name: "validation loss", k: 2, x: xs, y: column(table, "validation_loss") });
  return <Curves title="Loss" over={axisName.value} series={series} />;
}

function AccuracyCurves() {
  const table = rows.value;
  const xs = column(table, state.x.value);
  const series: Series[] = [{ name: "training", k: 0, x: xs, y: column(table, "train_accuracy") }];
  if (table.some((row) => row.validation_accuracy !== null)) series.push({ name: "validation", k: 2, x: xs, y: column(table, "validation_accuracy") });
  return <Curves title="Accuracy" over={axisName.value} series={series} percent />;
}

/** The gap where something is known of it: estimated on the way, proved at the end; else the norm of the gradient. */
function GapCurves() {
  const now = job.value;
  const table = rows.value;
  const xs = column(table, state.x.value);
  const certificate = now?.metrics?.certificate ?? null;
  const proves = certificate !== null && now?.metrics?.penalty !== "none";
  if (!proves && !table.some((row) => row.left !== null && row.left !== undefined)) {
    return <Curves title="Gradient norm (no gap is known)" over={axisName.value} series={[{ name: "gradient norm", k: 6, x: xs, y: column(table, "gradient_norm") }]} log />;
  }
  const series: Series[] = [{ name: "estimated", k: 6, x: xs, y: table.map((row) => (row.left ?? NaN) / (row.objective ?? NaN)) }];
  if (proves && xs.length) series.push({ name: "proved", k: 3, x: [xs.at(-1)!], y: [Math.max(certificate.relative_gap, 1e-16)], dot: true });
  const tol = Number(now?.settings.classifier.tol ?? 0);
  return <Curves title="Relative gap to the optimum" over={axisName.value} series={series} log aim={tol > 0 ? { value: tol, name: "tol" } : undefined} />;
}

function Result({ metrics }: { metrics: Metrics }) {
  const percent = (value: number | null) => (value === null ? "none held out" : `${(100 * value).toFixed(2)}%`);
  return (
    <dl class="facts" data-test="result">
      <dt>test accuracy</dt>
      <dd><b data-test="test-accuracy">{percent(metrics.test_accuracy)}</b> of {metrics.n_test.toLocaleString("en")} images</dd>
      <dt>training, validation</dt>
      <dd>{percent(metrics.train_accuracy)}, {percent(metrics.validation_accuracy)}</dd>
      <dt>objective</dt>
      <dd>{shown(metrics.objective, 6)}{metrics.certificate && metrics.penalty !== "none" ? `; no weights go below ${shown(metrics.certificate.lower_bound, 6)}` : ""}</dd>
    </dl>
  );
}

/** Resume a run, or keep what it reached; what is wrong is said where that was asked for. */
function goOn(run: string, finish: boolean, said = liveFailure): void {
  liveFailure.value = runsFailure.value = "";
  call<Job>("train.resume", { run, finish }).then(() => refreshRuns(), say(said));
}

function RunLinks({ run }: { run: string }) {
  const found = runs.value.find((one) => one.run === run);
  return (
    <>
      {found?.has_report ? (
        <a href={`train/report/${encodeURIComponent(run)}`} target="_blank" rel="noopener" aria-label={`Report of ${run}`}>Report</a>
      ) : (
        reports.value && found?.finished && (
          <Button label={`Make the report of ${run}`} onClick={() => {
            runsFailure.value = "";
            call("train.report", { run }).then(refreshRuns, say(runsFailure));
          }}>Make report</Button>
        )
      )}
      {found?.has_model && <a href={`#/inspect?run=${encodeURIComponent(run)}`} aria-label={`Inspect ${run}`}>Inspect</a>}
    </>
  );
}

function TemplatesPanel() {
  const found = templates.value;
  const now = job.value;
  if (!found) return null;
  const bytes = bytesOf(state.view.value === "color" ? found.color : found.signed);
  const size = found.height * found.width * (state.view.value === "color" ? 3 : 1);
  const live = now?.running && found.run === now.run;
  return (
    <Panel
      title={`Templates${live && found.epoch !== null ? `, epoch ${shown(found.epoch, 4)}` : ""}`}
      help={<>
        <Formula>s_k = W_k x + b_k</Formula>: each row <Formula>W_k</Formula> as a picture{state.view.value === "color"
          ? "; grey is 0, a colour is one that the class asks for."
          : `, channels summed; blue: light here speaks for the class, red: against it. The ends of the colours stand for ±${shown(found.limit, 2)}.`}
      </>}
    >
      <Choice label="Drawn as" value={state.view} choices={[["color", "colours"], ["signed", "signs"]] as const} />
      <ul class="templates">
        {found.class_names.slice(0, bytes.length / size).map((name, k) => (
          <li>
            <Pixels height={found.height} width={found.width} bytes={bytes.subarray(k * size, (k + 1) * size)} kind={state.view.value} label={`template of ${name}`} />
            <span>{name}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function RunsPanel() {
  useSignalEffect(() => {
    void connections.value;
    // a run that went on has a longer trace
    const known = new Set(runs.value.filter((one) => !one.error).map((one) => one.run));
    const wanted = chosenRuns.value.filter((name) => known.has(name)).join("/");
    if (!wanted) {
      traces.value = {};
      return;
    }
    call<Record<string, Row[]>>("train.traces", { runs: wanted }).then((found) => {
      batch(() => {
        traces.value = found;
        runsFailure.value = "";
      });
    }, say(runsFailure));
  });
  const percent = (value: number | null | undefined) => (value === null || value === undefined ? "" : `${(100 * value).toFixed(2)}%`);
  const missing = runs.value.length ? chosenRuns.value.filter((name) => !runs.value.some((one) => one.run === name)) : [];
  const compared = chosenRuns.value.filter((name) => (traces.value[name]?.length ?? 0) > 0);
  const toggle = (name: string) => {
    const left = chosenRuns.value.filter((one) => one !== name);
    state.runs.value = (left.length < chosenRuns.value.length ? left : [...left, name].slice(-8)).join("/");
  };
  const source = (one: Run) => (one.source ?? "").split("/").at(-1) ?? "";
  return (
    <Panel title="Runs" help={<>Those in the folder <code>{folder.value}</code>; check some to compare their curves.</>} name="runs" wide>
      <Failure message={runsFailure} />
      {runs.value.length === 0 ? <p class="muted">No run yet; those of <code>linprobe train</code> appear here, too.</p> : (
        <div class="scroll" tabIndex={0} role="region" aria-label="Table of runs">
          <table>
            <thead>
              <tr>
                <th scope="col">run</th><th scope="col">compare</th><th scope="col" class="what">trained on</th><th scope="col">objective</th><th scope="col">gap</th>
                <th scope="col">train</th><th scope="col">validation</th><th scope="col">test</th><th scope="col">seconds</th><th scope="col">status</th><th scope="col" class="actions">then</th>
              </tr>
            </thead>
            <tbody>
              {runs.value.map((one) => one.error ? (
                <tr><th scope="row">{one.run}</th><td colSpan={10} class="what wrapped">{one.error}</td></tr>
              ) : (
                <tr class={chosenRuns.value.includes(one.run) ? "chosen" : ""}>
                  <th scope="row">{one.run}</th>
                  <td><input type="checkbox" aria-label={`Compare ${one.run}`} checked={chosenRuns.value.includes(one.run)} onChange={() => toggle(one.run)} disabled={one.kind !== "train"} /></td>
                  <td class="what">{source(one)}, {one.features}: {one.loss} + {one.penalty}{one.reg !== null && one.penalty !== "none" ? ` ${shown(one.reg)}` : ""}, {one.kind === "train" ? one.optimizer : one.kind}</td>
                  <td>{one.result ? shown(one.result.objective, 5) : ""}</td>
                  <td>{one.result?.certificate && one.penalty !== "none" ? shown(one.result.certificate.relative_gap, 2) : ""}</td>
                  <td>{percent(one.result?.train_accuracy)}</td>
                  <td>{percent(one.result?.validation_accuracy)}</td>
                  <td><b>{percent(one.result?.test_accuracy)}</b></td>
                  <td>{one.result ? shown(one.result.seconds, 3) : ""}</td>
                  <td>{one.result?.status ?? (job.value?.running && job.value.run === one.run ? "running" : "unfinished")}</td>
                  <td class="actions">
                    <span class="row">
                      {!one.finished && one.kind === "train" && !(busy.value && job.value?.run === one.run) && (
                        <>
                          <Button label={`Resume ${one.run}`} disabled={busy.value} onClick={() => goOn(one.run, false, runsFailure)}>Resume</Button>
                          <Button label={`Keep what ${one.run} reached`} disabled={busy.value} onClick={() => goOn(one.run, true, runsFailure)}>Keep</Button>
                        </>
                      )}
                      <RunLinks run={one.run} />
                    </span>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {missing.length > 0 && (
        <div class="row">
          <small>Chosen to be compared, and not in this folder: {missing.join(", ")}.</small>
          <Button onClick={() => { state.runs.value = chosenRuns.value.filter((name) => !missing.includes(name)).join("/"); }}>Leave out</Button>
        </div>
      )}
      {compared.length > 0 && (
        <>
          <div class="row">
            <Select label="Compared by" value={state.metric} choices={COMPARED} />
          </div>
          <Curves
            title={COMPARED.find(([key]) => key === state.metric.value)?.[1] ?? ""} over={AXES.find(([key]) => key === state.x.value)?.[1] ?? ""} height={240}
            log={state.metric.value === "gradient_norm"} percent={state.metric.value.endsWith("accuracy")}
            series={compared.map((name, k) => ({ name, k, x: column(traces.value[name]!, state.x.value), y: column(traces.value[name]!, state.metric.value) }))}
          />
        </>
      )}
    </Panel>
  );
}

export default function Train() {
  // The weights are sent while a page looks, and only then; over each connection it says so anew.
  const look = () => {
    const on = document.visibilityState === "visible";
    void call("train.look", { on }).then(load).catch(say(failure));
  };
  useSignalEffect(() => {
    if (!connections.value) return;
    failure.value = liveFailure.value = runsFailure.value = ""; // what was said while there was none
    look();
  });
  useEffect(() => {
    document.addEventListener("visibilitychange", look);
    return () => {
      document.removeEventListener("visibilitychange", look);
      void call("train.look", { on: false }).catch(() => undefined);
    };
  }, []);
  return (
    <>
      <div class="page-head">
        <h1>Train</h1>
        <p class="lead">A linear classifier on your pictures, watched as it learns. What happens here is a run of <code>linprobe train</code>: its folder, its certificate, its bits.</p>
      </div>
      <div class="columns train">
        <div class="stack">
          <SourcePanel />
          <SettingsPanel />
        </div>
        <div class="stack">
          <LivePanel />
          <TemplatesPanel />
        </div>
        <RunsPanel />
      </div>
    </>
  );
}
