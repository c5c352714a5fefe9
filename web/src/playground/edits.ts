// What a hand changes: points, classes, lines. A walk that was going on ends where its problem changes.
import { batch } from "@preact/signals";
import type { PlanarSet } from "../protocol";
import { SET_CLASSES } from "./names";
import { MOST_CLASSES, MOST_POINTS, placed, pointAt } from "./points";
import { b, half, K, points, START_OF_THREE, START_OF_TWO, selected, setPoints, setWeights, state, W } from "./state";
import { endWalk } from "./walk";

/** Change what belongs to one class by hand: a walk that was going on has ended. */
export function setClass(k: number, w: readonly number[], bias: number): void {
  endWalk();
  setWeights(
    W.value.map((row, j) => (j === k ? w : row)),
    b.value.map((value, j) => (j === k ? bias : value)),
    3,
  );
}

export function movePoint(i: number, x: number, y: number): void {
  setPoints(points.value.map((p, j) => (j === i ? placed(p, x, y, half.value) : p)));
}

export function relabel(i: number, label: number): void {
  if (label < K.value) setPoints(points.value.map((p, j) => (j === i ? { ...p, label } : p)));
}

export function addPoint(x: number, y: number, label: number): void {
  if (points.value.length >= MOST_POINTS) return;
  setPoints([...points.value, pointAt(x, y, label)]);
  selected.value = points.value.length - 1;
}

export function deletePoint(i: number): void {
  if (points.value.length <= 2) return;
  setPoints(points.value.filter((_, j) => j !== i));
  selected.value = Math.min(i, points.value.length - 1);
}

export function setClasses(n: number): void {
  if (n < 2 || n > MOST_CLASSES) return;
  endWalk();
  const oldW = W.value;
  const oldB = b.value;
  batch(() => {
    if (points.value.some((p) => p.label >= n))
      setPoints(points.value.map((p) => ({ ...p, label: Math.min(p.label, n - 1) })));
    state.k.value = n;
    setWeights(
      Array.from({ length: n }, (_, k) => oldW[k] ?? [0, 0]),
      Array.from({ length: n }, (_, k) => oldB[k] ?? 0),
    );
  });
}

/** Multiply W and b by a factor. */
export function scaleWeights(factor: number): void {
  endWalk();
  setWeights(
    W.value.map((row) => row.map((x) => factor * x)),
    b.value.map((x) => factor * x),
  );
}

/** Take the points of a set as they are drawn, and lines for as many classes as it has. */
export function takeSet(set: PlanarSet): void {
  endWalk();
  const n = SET_CLASSES[set];
  batch(() => {
    state.set.value = set;
    state.p.value = undefined;
    if (state.k.value !== n) {
      state.k.value = n;
      setWeights(n === 3 ? START_OF_THREE : START_OF_TWO, Array(n).fill(0));
    }
    selected.value = 0;
  });
}
