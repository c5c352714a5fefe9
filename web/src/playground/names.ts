// The sets of points that the playground and the gradient check share.
import type { PlanarSet } from "../protocol";

export const SET_TITLES: Record<PlanarSet, string> = {
  blobs: "three blobs",
  shell: "shell: 1 ≤ ||x|| ≤ 2",
  "three-modes": "three modes",
  quadrants: "quadrants",
  spiral: "spiral",
};
/** How many classes each set has. */
export const SET_CLASSES: Record<PlanarSet, number> = { blobs: 3, shell: 2, "three-modes": 2, quadrants: 2, spiral: 3 };
export const SETS = Object.keys(SET_TITLES) as PlanarSet[];
