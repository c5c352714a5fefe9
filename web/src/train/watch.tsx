// The panel "Training": how far it is, its curves, and its result.
import { computed } from "@preact/signals";
import type { Result as Metrics } from "../protocol";
import { call, say } from "../socket";
import { Button, Choice, Failure, Notes, Panel } from "../ui/controls";
import { fixed, percentText, shown } from "../ui/numbers";
import { RunLinks, resume } from "./actions";
import { Curves, type Series } from "./curves";
import { done, glimpses, job, latest, liveFailure, planned, progress, rows, unit } from "./live";
import { column, isRecent } from "./rows";
import { AXES, state } from "./state";

const PHASES: Record<string, string> = {
  starting: "Starting",
  reading: "Reading",
  training: "Training",
  stopping: "Stopping",
  finished: "Finished",
  stopped: "Stopped",
  failed: "Failed",
};

const axes = computed(() => AXES.map(([key, text]) => [key, key === "epoch" ? `${unit.value}s` : text] as const));
const axisName = computed(() => axes.value.find(([key]) => key === state.x.value)?.[1] ?? "");

function ask(method: "train.stop" | "train.finish"): void {
  liveFailure.value = "";
  call(method, {}).catch(say(liveFailure));
}

/** The panel itself is drawn rarely. What changes with every update are small components, each drawn by itself. */
export function LivePanel() {
  const now = job.value;
  return (
    <Panel title="Training" name="live">
      <div class="status-line">
        <span role="status">
          <strong>{now ? (PHASES[now.phase] ?? now.phase) : "No training yet"}</strong> {now?.run}{" "}
          <span class="muted">{now?.message}</span>
        </span>
        <Figures />
      </div>
      {!now && (
        <p class="muted">
          Choose a source and settings, then start. Loss, gap, accuracy and templates are drawn during the training.
        </p>
      )}
      <Progress />
      <div class="row">
        <Button onClick={() => ask("train.stop")} disabled={!now?.running || now.phase === "stopping"}>
          Stop (can be resumed)
        </Button>
        <Button onClick={() => ask("train.finish")} disabled={!now?.running || now.phase === "stopping"}>
          Keep as it is now
        </Button>
        {now && !now.running && now.phase !== "finished" && (
          <>
            <Button kind="main" onClick={() => resume(now.run, false)}>
              Resume
            </Button>
            <Button onClick={() => resume(now.run, true)}>Keep what was reached</Button>
          </>
        )}
        {now?.phase === "finished" && <RunLinks run={now.run} />}
      </div>
      <Failure message={liveFailure} />
      {now?.metrics && <Result metrics={now.metrics} />}
      {now && (
        <>
          <Choice label="Drawn over" value={state.x} choices={axes.value} />
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
      {unit.value} {shown(done.value, 4)}
      {planned.value ? ` of ${planned.value}` : ""} · loss {fixed(loss, 4)} · {shown(last.passes, 4)} passes ·{" "}
      {shown(last.seconds, 3)} s
    </span>
  );
}

function Progress() {
  const now = progress.value;
  if (!job.value?.running) return null;
  if (now) {
    return (
      <div>
        <small>
          {now.what} {now.done.toLocaleString("en")} of {now.total.toLocaleString("en")}
        </small>
        <progress value={now.done} max={Math.max(now.total, 1)} aria-label={now.what} />
      </div>
    );
  }
  return planned.value > 0 ? <progress value={done.value} max={planned.value} aria-label="epochs done" /> : null;
}

function LossCurves() {
  const table = rows.value;
  const xs = column(table, state.x.value);
  const series: Series[] = [
    { name: "objective", k: 0, x: xs, y: column(table, "objective") },
    { name: "its data loss", k: 1, x: xs, y: column(table, "data_loss") },
  ];
  if (state.x.value === "epoch" && isRecent(glimpses.value, table)) {
    series.push({ name: "batches now", k: 5, x: glimpses.value.map((g) => g[0]), y: glimpses.value.map((g) => g[1]) });
  }
  if (table.some((row) => row.validation_loss !== null))
    series.push({ name: "validation loss", k: 2, x: xs, y: column(table, "validation_loss") });
  return <Curves title="Loss" over={axisName.value} series={series} />;
}

function AccuracyCurves() {
  const table = rows.value;
  const xs = column(table, state.x.value);
  const series: Series[] = [{ name: "training", k: 0, x: xs, y: column(table, "train_accuracy") }];
  if (table.some((row) => row.validation_accuracy !== null))
    series.push({ name: "validation", k: 2, x: xs, y: column(table, "validation_accuracy") });
  return <Curves title="Accuracy" over={axisName.value} series={series} percent />;
}

/** The relative gap, estimated during the training and proved at its end; where neither is known, the norm of the gradient. */
function GapCurves() {
  const now = job.value;
  const table = rows.value;
  const xs = column(table, state.x.value);
  const certificate = now?.metrics?.certificate ?? null;
  const proves = certificate !== null && now?.metrics?.penalty !== "none";
  if (!proves && !table.some((row) => row.left !== null && row.left !== undefined)) {
    return (
      <Curves
        title="Gradient norm (no gap is known)"
        over={axisName.value}
        series={[{ name: "gradient norm", k: 6, x: xs, y: column(table, "gradient_norm") }]}
        log
      />
    );
  }
  const series: Series[] = [
    { name: "estimated", k: 6, x: xs, y: table.map((row) => (row.left ?? NaN) / (row.objective ?? NaN)) },
  ];
  if (proves && xs.length)
    series.push({ name: "proved", k: 3, x: [xs.at(-1)!], y: [Math.max(certificate.relative_gap, 1e-16)], dot: true });
  const tol = Number(now?.settings.classifier.tol ?? 0);
  return (
    <Curves
      title="Relative gap to the optimum"
      over={axisName.value}
      series={series}
      log
      aim={tol > 0 ? { value: tol, name: "tol" } : undefined}
    />
  );
}

function Result({ metrics }: { metrics: Metrics }) {
  const percent = (value: number | null) => (value === null ? "none held out" : percentText(value));
  return (
    <dl class="facts" data-test="result">
      <dt>test accuracy</dt>
      <dd>
        <b data-test="test-accuracy">{percent(metrics.test_accuracy)}</b> of {metrics.n_test.toLocaleString("en")}{" "}
        images
      </dd>
      {metrics.test_origin && (
        <>
          <dt>test split</dt>
          <dd data-test="test-origin">{metrics.test_origin}</dd>
        </>
      )}
      <dt>training, validation</dt>
      <dd>
        {percent(metrics.train_accuracy)}, {percent(metrics.validation_accuracy)}
      </dd>
      <dt>objective</dt>
      <dd>
        {metrics.texts.objective}
        {metrics.texts.lower_bound !== "-" && `; lower bound ${metrics.texts.lower_bound}`}
      </dd>
      <Notes notes={metrics.notes} />
    </dl>
  );
}
