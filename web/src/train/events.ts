// The events of the server: the state of the training, its rows, its templates.
import { batch } from "@preact/signals";
import type { Templates, TraceRow } from "../protocol";
import { call, hear, say, stream } from "../socket";
import {
  failure,
  folder,
  glimpses,
  job,
  latest,
  mostBytes,
  progress,
  reports,
  rows,
  runs,
  runsFailure,
  sources,
  templates,
  uploadFailure,
} from "./live";
import { merged } from "./rows";
import { state } from "./state";

/** Number of states received. An answer to a request that was sent before the latest state is older than that state. */
let states = 0;

/** Read everything anew: when the page opens, and over each new connection. */
export async function load(): Promise<void> {
  const before = states;
  const found = await call("train.state", {});
  batch(() => {
    sources.value = found.sources;
    if (!state.source.peek()) state.source.value = found.sources[0]?.key ?? "";
    if (states === before) {
      // over a new connection: a lab that was started anew has no training, or another one
      if (found.job === null || found.job.run !== job.peek()?.run) forget(found.job?.run);
      job.value = found.job;
    }
    if (found.job && found.job.run === job.peek()?.run) {
      const known = found.job.rows ?? [];
      const last = known.at(-1)?.epoch ?? -1;
      rows.value = [...known, ...rows.peek().filter((row) => row.epoch > last)];
    }
    if (!glimpses.peek().length)
      glimpses.value = ((found.job?.glimpses ?? []) as [number, number][]).filter((one) => one[1] !== null);
    runs.value = found.runs;
    folder.value = found.folder;
    reports.value = found.reports;
    mostBytes.value = found.most_bytes;
    if (found.job && !found.job.running) void showTemplates(found.job.run);
  });
}

/** Drop what belongs to the training so far, but for the templates of that run. */
function forget(run: string | undefined): void {
  rows.value = [];
  glimpses.value = [];
  latest.value = [0, 0];
  progress.value = null;
  if (templates.peek()?.run !== run) templates.value = null;
}

async function showTemplates(run: string): Promise<void> {
  try {
    const found = await call("train.templates", { run });
    if (job.peek()?.run === run) templates.value = found; // a training that began meanwhile has its own
  } catch {
    if (templates.peek()?.run !== run) templates.value = null; // features and vectors have none
  }
}

const askRuns = stream(
  "train.runs",
  (found) => {
    runs.value = found;
  },
  say(runsFailure),
);

/** Read the list of runs anew. */
export const refreshRuns = (): void => askRuns({});

hear("train.state", (sent) => {
  const before = job.peek();
  states += 1;
  draw(); // rows and glimpses that came before this state
  batch(() => {
    if (before?.run !== sent.run || (sent.phase === "starting" && !before.running)) {
      forget(sent.run);
    }
    job.value = sent;
    if (!sent.running) progress.value = null;
  });
  if (sent.phase === "starting")
    load().catch(say(failure)); // a resumed run has rows already
  else if (sent.phase !== before?.phase || sent.run !== before?.run) refreshRuns(); // its folder is made meanwhile
  if (sent.phase === "finished") void showTemplates(sent.run);
});

// Messages are collected and drawn together. A browser that draws each of them takes processor time from the training
// on a machine with two cores; benchmarks/lab.py measured both numbers.
/** Milliseconds between two updates of the figures. */
const FRAME_MS = 185;
/** Milliseconds between two updates of the curves while no row is complete. */
const CURVE_MS = 340;
/** Glimpses that are kept for the curve. */
const MOST_GLIMPSES = 2000;
let waiting: { rows: TraceRow[]; glimpses: [number, number][]; templates?: Templates } = { rows: [], glimpses: [] };
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
      rows.value = merged(rows.peek(), now.rows);
      progress.value = null;
    }
    if (curves && now.glimpses.length) glimpses.value = [...glimpses.peek().slice(1 - MOST_GLIMPSES), ...now.glimpses];
    if (now.templates) templates.value = now.templates;
  });
}

const soon = (): void => {
  timer ??= setTimeout(draw, Math.max(0, FRAME_MS - (performance.now() - drawn)));
};

hear("train.rows", (sent) => {
  waiting.rows = merged(waiting.rows, sent.rows);
  soon();
});
hear("train.glimpse", (sent) => {
  if (sent.data_loss !== null) waiting.glimpses.push([sent.epoch, sent.data_loss]);
  soon();
});
hear("train.sources", (sent) => {
  batch(() => {
    sources.value = sent.sources;
    if (!sent.gone || sent.gone !== state.source.peek()) return;
    uploadFailure.value = sent.why;
    state.source.value = sent.sources[0]?.key ?? "";
  });
});
hear("train.reading", (sent) => {
  progress.value = sent;
});
hear("train.reported", refreshRuns);
hear("train.templates", (sent) => {
  waiting.templates = sent;
  soon();
});
