// The picture, W and b of this page, all in its address; and the library's answer.
import { computed, signal } from "@preact/signals";
import { numbersField, textField, wholeField } from "../fields";
import type { Multiplied } from "../protocol";
import { linked } from "../route";
import { connections, say, stream } from "../socket";

export const D = 4;
const MOST_CLASSES = 6;

export interface Example {
  title: string;
  x: number[];
  W: number[];
  b: number[];
  y: number;
  names: string;
}

/** Those of the lecture: the algebraic viewpoint, and the example that compares the losses. */
export const EXAMPLES: readonly [Example, Example] = [
  {
    title: "cat, dog, ship",
    x: [56, 231, 24, 2],
    W: [0.2, -0.5, 0.1, 2, 1.5, 1.3, 2.1, 0, 0, 0.25, 0.2, -0.3],
    b: [1.1, 3.2, -1.2],
    y: 0,
    names: "cat.dog.ship",
  },
  {
    title: "SVM 1.58, softmax 1.04",
    x: [-15, 22, -44, 56],
    W: [0.01, -0.05, 0.1, 0.05, 0.7, 0.2, 0.05, 0.16, 0, -0.45, -0.2, 0.03],
    b: [0, 0.2, -0.3],
    y: 2,
    names: "0.1.2",
  },
];

const first = EXAMPLES[0];

export const state = linked("matrix", {
  x: numbersField(first.x, D),
  W: numbersField(first.W, D * MOST_CLASSES),
  b: numbersField(first.b, MOST_CLASSES),
  y: wholeField(first.y, 0, MOST_CLASSES - 1),
  c: textField(first.names),
  across: wholeField(0, 0, D - 1),
  up: wholeField(1, 0, D - 1),
});

// An address may hold any number of numbers: what is shown and requested has as many rows as W has whole ones.
export const K = computed(() => Math.max(2, Math.floor(state.W.value.length / D)));
type Four = readonly [number, number, number, number];
/** Four numbers from a place on; what an address leaves out is 0. */
const four = (of: readonly number[], from: number): Four => [
  of[from] ?? 0,
  of[from + 1] ?? 0,
  of[from + 2] ?? 0,
  of[from + 3] ?? 0,
];
export const rows = computed(() => Array.from({ length: K.value }, (_, k) => four(state.W.value, D * k)));
export const biases = computed(() => Array.from({ length: K.value }, (_, k) => state.b.value[k] ?? 0));
export const x = computed(() => four(state.x.value, 0));
export const label = computed(() => Math.min(state.y.value, K.value - 1));
export const name = (k: number): string => state.c.value.split(".")[k]?.slice(0, 16) || String(k);
/** The two pixels of the plane; an address with the same twice shows two all the same. */
export const across = computed(() => state.across.value);
export const up = computed(() => (state.up.value === across.value ? (across.value + 1) % D : state.up.value));

/** While the picture is dragged in the plane, the plane keeps its scale. */
export const held = signal<number | undefined>(undefined);
const reach = computed(() => {
  const most = Math.max(10, ...x.value.map(Math.abs));
  const unit = 10 ** Math.floor(Math.log10(most));
  return Math.ceil((1.2 * most) / unit) * unit;
});
export const half = computed(() => held.value ?? reach.value);

export const seen = signal<Multiplied | undefined>(undefined);
export const failure = signal("");

const ask = stream(
  "matrix.multiply",
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
    W: rows.value,
    b: biases.value,
    x: x.value,
    y: label.value,
    across: across.value,
    up: up.value,
    half: half.value,
  });
}

/** A number that is typed or dragged, to three decimals, within what the lab takes. */
const limited = (value: number): number => Number(Math.min(9999, Math.max(-9999, value)).toFixed(3));

export function setPixel(d: number, value: number): void {
  state.x.value = x.value.map((old, i) => (i === d ? limited(value) : old));
}

export function setWeight(k: number, d: number, value: number): void {
  state.W.value = rows.value.flatMap((row, j) => row.map((old, i) => (j === k && i === d ? limited(value) : old)));
}

export function setBias(k: number, value: number): void {
  state.b.value = biases.value.map((old, j) => (j === k ? limited(value) : old));
}

export function show(example: Example): void {
  state.x.value = example.x;
  state.W.value = example.W;
  state.b.value = example.b;
  state.y.value = example.y;
  state.c.value = example.names;
}
