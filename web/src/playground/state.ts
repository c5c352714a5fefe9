// The playground's state: points, weights, settings, all in the address.
import { batch, computed, effect, signal } from "@preact/signals";
import { choiceField, flagField, nameField, numberField, numbersField, wholeField } from "../fields";
import { objectiveFields, objectiveOf } from "../objective";
import type { PlanarSet, StepsRequest } from "../protocol";
import { linked } from "../route";
import { connections, request, say } from "../socket";
import { SETS } from "./names";
import { classNamesField, MOST_CLASSES, MOST_POINTS, type Point, pointsField, tidy } from "./points";

export type Method = StepsRequest["method"];

/** Half the side of the square that shows all of a set. */
const HALF: Record<PlanarSet, number> = { blobs: 2.6, shell: 2.8, "three-modes": 2.8, quadrants: 2.3, spiral: 1.25 };

/** Rows of W that three and two classes start with. */
export const START_OF_THREE = [
  [0.87, -0.5],
  [0, 1],
  [-0.87, -0.5],
] as const;
export const START_OF_TWO = [
  [1, 0.3],
  [-1, -0.3],
] as const;

export const state = linked("playground", {
  set: choiceField<PlanarSet>("blobs", SETS),
  n: wholeField(60, 2, MOST_POINTS),
  seed: wholeField(0, 0, 99999),
  p: pointsField,
  k: wholeField(3, 2, MOST_CLASSES),
  names: classNamesField,
  W: numbersField(START_OF_THREE.flat(), 2 * MOST_CLASSES),
  b: numbersField([0, 0, 0], MOST_CLASSES),
  ...objectiveFields({ loss: "hinge", beta: 0.5, reg: 0.001, delta: 0.01 }),
  /** The class whose weights have sliders. */
  c: wholeField(0, 0, MOST_CLASSES - 1),
  regions: choiceField<"linear" | "both" | "knn" | "none">("linear", ["linear", "both", "knn", "none"]),
  neighbors: wholeField(3, 1, 50),
  /** Whether two numbers of neighbours are shown side by side, and which. */
  beside: flagField(false),
  k1: wholeField(1, 1, 50),
  k2: wholeField(5, 1, 50),
  lines: flagField(true),
  borders: flagField(true),
  margins: flagField(true),
  opt: choiceField<Method>("gd", ["gd", "sgd", "exact"]),
  auto: flagField(true),
  rate: numberField(0.1, 1e-6, 1000),
  search: flagField(false),
  batch: wholeField(8, 1, MOST_POINTS),
  epochs: wholeField(20, 1, 1000),
  schedule: nameField("cosine"),
  update: nameField("momentum"),
  momentum: numberField(0.9, 0, 0.99),
  order: wholeField(0, 0, 99999),
});

const drawn = signal<Point[]>([]);
const setNames = signal<readonly string[]>([]);
export const failure = signal("");
export const points = computed(() => state.p.value ?? drawn.value);
export const half = computed(() => HALF[state.set.value]);
export const selected = signal(0);
export const dragging = signal(false);

/** Whether an optimizer walks by itself. */
export const running = signal(false);

/** W (K, 2) and b (K,) of as many classes as there are; what an address leaves out is 0. */
export const K = computed(() => Math.max(state.k.value, ...points.value.map((p) => p.label + 1)));

export const W = computed(() =>
  Array.from({ length: K.value }, (_, k) => [state.W.value[2 * k] ?? 0, state.W.value[2 * k + 1] ?? 0] as const),
);

export const b = computed(() => Array.from({ length: K.value }, (_, k) => state.b.value[k] ?? 0));

/** The name of a class: the one that it was given, that of the set, or its number. */
export const className = (k: number): string => state.names.value[k] || setNames.value[k] || String(k);

/** A class in words, its name once. */
export const classInWords = (k: number): string =>
  className(k) === String(k) ? `class ${k}` : `class ${k}, ${className(k)}`;

export function setWeights(newW: readonly (readonly number[])[], newB: readonly number[], digits = 6): void {
  batch(() => {
    state.W.value = newW.flatMap((row) => row.map((w) => tidy(w, digits)));
    state.b.value = newB.map((value) => tidy(value, digits));
  });
}

export function setPoints(next: Point[]): void {
  state.p.value = next;
}

// The points of the set, whenever it is another one.
effect(() => {
  void connections.value;
  const params = { set: state.set.value, n: state.n.value, seed: state.seed.value };
  return request(
    "playground.draw",
    params,
    (result) => {
      batch(() => {
        drawn.value = result.points.map(([x, y], i) => ({ x, y, label: result.labels[i]! }));
        setNames.value = result.class_names;
      });
    },
    say(failure),
  );
});

/** The points, weights and loss as every request holds them. */
export const problem = computed(() => ({
  points: points.value.map((p) => [p.x, p.y] as const),
  labels: points.value.map((p) => p.label),
  n_classes: K.value,
  ...objectiveOf(state),
}));
