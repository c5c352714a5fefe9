// What this page shows: the training, the runs, the source. Set by events.ts and by the panels' own requests.
import { computed, signal } from "@preact/signals";
import type { Description, JobShown, Reading, SourceShown, Templates, TraceRow, TrainState } from "../protocol";
import { unitOf } from "./rows";

export const sources = signal<SourceShown[]>([]);
export const job = signal<JobShown | null>(null);
export const rows = signal<TraceRow[]>([]);
export const glimpses = signal<[number, number][]>([]);
/** The latest glimpse: (epochs done, mean loss of the batches since the last row). */
export const latest = signal<[number, number]>([0, 0]);
export const progress = signal<Reading | null>(null);
export const templates = signal<Templates | null>(null);
export const runs = signal<TrainState["runs"]>([]);
export const traces = signal<Record<string, TraceRow[]>>({});
export const folder = signal("runs");
export const reports = signal(false);
export const mostBytes = signal(0);
export const about = signal<Description | null>(null);
export const reading = signal(false);
export const failure = signal("");
export const sourceFailure = signal("");
/** Of the last upload; kept apart, since the description of another source clears `sourceFailure`. */
export const uploadFailure = signal("");
export const runsFailure = signal("");
/** Of stopping, keeping and resuming; shown next to their buttons. */
export const liveFailure = signal("");
export const upload = signal<number | null>(null);

export const busy = computed(() => job.value?.running ?? false);
/** What the training counts: epochs, or iterations. */
export const unit = computed(() => unitOf(job.value?.settings.classifier.optimizer));
/** Epochs that the training will have; 0 where that is not known. */
export const planned = computed(() => {
  const asked = job.value?.settings.classifier;
  return Number(asked?.optimizer === "sgd" ? asked.epochs : 0);
});
/** Epochs done. A training that has ended shows whole epochs: it resumes from there. */
export const done = computed(() => Math.max(busy.value ? latest.value[0] : 0, rows.value.at(-1)?.epoch ?? 0));
