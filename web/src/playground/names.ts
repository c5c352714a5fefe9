// The sets of points that the playground and the gradient check share.
export const SETS = ["shell", "three-modes", "quadrants", "spiral"] as const;
export type PlanarSet = (typeof SETS)[number];
export const SET_TITLES: Record<PlanarSet, string> = {
  shell: "shell: 1 ≤ ||x|| ≤ 2",
  "three-modes": "three modes",
  quadrants: "quadrants",
  spiral: "spiral",
};
