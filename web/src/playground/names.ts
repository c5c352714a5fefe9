// Names that the playground and the gradient check share.
export type Loss = "hinge" | "squared-hinge" | "softmax";
export type Penalty = "l2" | "l1" | "elastic-net" | "none";

export const SETS = ["shell", "three-modes", "quadrants", "spiral"] as const;
export type PlanarSet = (typeof SETS)[number];
export const SET_TITLES: Record<PlanarSet, string> = {
  shell: "shell: 1 ≤ ||x|| ≤ 2", "three-modes": "three modes", quadrants: "quadrants", spiral: "spiral",
};

export const LOSS_FORMULAS: Record<Loss, string> = {
  hinge: "L_i = Σ_{j ≠ y} max(0, s_j − s_y + Δ)",
  "squared-hinge": "L_i = Σ_{j ≠ y} max(0, s_j − s_y + Δ)^2",
  softmax: "L_i = −log (e^{s_y} / Σ_j e^{s_j})",
};
/** The updates of linprobe.optimizers.updates, g being the gradient of the mini-batch; ρ = 0.99, β₁ = 0.9, β₂ = 0.999. */
export const UPDATE_FORMULAS: Record<string, string> = {
  plain: "W ← W − η g",
  momentum: "m ← μ m + g;  W ← W − η m",
  nesterov: "m ← μ m + g;  W ← W − η (g + μ m)",
  adagrad: "v ← v + g^2;  W ← W − η g / √v",
  rmsprop: "v ← ρ v + (1 − ρ) g^2;  W ← W − η g / √v",
  adam: "m, v: running means of g and g^2;  W ← W − η m / √v",
};
/** The schedules of linprobe.optimizers.schedules, p being the share of the run that is done, f = 0.01. */
export const SCHEDULE_FORMULAS: Record<string, string> = {
  constant: "η, all the way",
  step: "η f^{⌊4p⌋/3}: four stretches, p being the share done, down to f = 1%",
  exponential: "η f^p, p being the share done, down to f = 1%",
  cosine: "η (f + (1 − f)(1 + cos πp)/2), p being the share done, down to f = 1%",
  inverse: "η / (1 + (1/f − 1) p), p being the share done, down to f = 1%",
};
