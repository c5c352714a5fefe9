// The sets of points that the playground and the gradient check share.
import type { PlanarSet } from "../protocol";

export const SET_TITLES: Record<PlanarSet, string> = {
  shell: "shell: 1 ≤ ||x|| ≤ 2",
  "three-modes": "three modes",
  quadrants: "quadrants",
  spiral: "spiral",
};
export const SETS = Object.keys(SET_TITLES) as PlanarSet[];
