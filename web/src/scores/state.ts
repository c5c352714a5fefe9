// The scores and settings of this page, all in its address; and the library's answer.
import { computed, signal } from "@preact/signals";
import { numberField, numbersField, textField, wholeField } from "../fields";
import type { Explained, Targeted } from "../protocol";
import { linked } from "../route";
import { connections, say, stream } from "../socket";
import { EXAMPLES, type Example } from "./examples";
import { labelsOf, limited, rowsField, spanOf } from "./rows";

const first = EXAMPLES[0]!;

export const state = linked("scores", {
  s: rowsField(first.rows),
  y: numbersField(first.labels, 10),
  c: textField(first.names),
  i: wholeField(0, 0, 9),
  m: wholeField(1, 0, 9),
  d: numberField(1, 0.01, 100),
  e: numberField(0.5, 0, 10),
  /** Shares of the target by class; none for the correct class alone. */
  t: numbersField([], 10),
});

// An address may hold a row, a label or a class that is not there: what is shown and requested is always in range.
export const K = computed(() => state.s.value[0]!.length);

export const row = computed(() => Math.min(state.i.value, state.s.value.length - 1));

export const labels = computed(() => labelsOf(state.s.value, state.y.value));

export const label = computed(() => labels.value[row.value]!);
export const scores = computed(() => state.s.value[row.value]!);
export const moved = computed(() => Math.min(state.m.value, K.value - 1));
export const name = (k: number): string => state.c.value.split(".")[k]?.slice(0, 16) || String(k);

export const span = computed(() => spanOf(state.s.value));
/** While a bar is dragged the scale stays. */
export const held = signal<number | undefined>(undefined);

export const scale = computed(() => held.value ?? span.value);
export const seen = signal<Explained | undefined>(undefined);
export const failure = signal("");

const ask = stream(
  "scores.explain",
  (result) => {
    seen.value = result;
    failure.value = "";
  },
  say(failure),
);

/** Ask for what the page shows: an effect of the page. */
export function watch(): void {
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
}

/** The shares of the target: as they were set, or 1 for the correct class alone. */
export const shares = computed(() => {
  const set = Array.from({ length: K.value }, (_, k) => Math.min(1, Math.max(0, state.t.value[k] ?? 0)));
  return set.some((share) => share > 0) ? set : set.map((_, k) => (k === label.value ? 1 : 0));
});

export const targeted = signal<Targeted | undefined>(undefined);

const askTarget = stream(
  "scores.target",
  (result) => {
    targeted.value = result;
  },
  say(failure),
);

/** Ask for the row against its target: an effect of the page. */
export function watchTarget(): void {
  void connections.value;
  askTarget({ scores: scores.value, shares: shares.value });
}

export function setShare(k: number, share: number): void {
  state.t.value = shares.value.map((old, j) => (j === k ? Number(share.toFixed(2)) : old));
}

export function setScore(k: number, value: number): void {
  if (!Number.isFinite(value)) return;
  state.s.value = state.s.value.map((r, n) => (n === row.value ? r.map((s, j) => (j === k ? limited(value) : s)) : r));
}

export function setLabel(k: number): void {
  state.y.value = labels.value.map((y, n) => (n === row.value ? k : y));
}

export function addClass(): void {
  state.s.value = state.s.value.map((r) => [...r, 0]);
  const names = state.c.value.split(".");
  state.c.value = Array.from({ length: K.value }, (_, k) => names[k] ?? String(k)).join(".");
}

export function removeClass(): void {
  state.s.value = state.s.value.map((r) => r.slice(0, -1));
  state.y.value = labels.value;
}

export function show(example: Example): void {
  state.s.value = example.rows;
  state.y.value = example.labels;
  state.c.value = example.names;
  state.i.value = 0;
  state.m.value = example.moved ?? (example.labels[0] === 1 ? 0 : 1);
}
