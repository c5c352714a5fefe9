// The settings of this page, all in its address; and the library's answers.
import { computed, signal } from "@preact/signals";
import { choiceField, numberField, wholeField } from "../fields";
import { objectiveFields, objectiveOf } from "../objective";
import { SETS } from "../playground/names";
import type { Checked, Moved, Swept } from "../protocol";
import { linked } from "../route";
import { connections, say, stream } from "../socket";

export const state = linked("gradient", {
  set: choiceField("three-modes", SETS),
  n: wholeField(20, 2, 100),
  seed: wholeField(0, 0, 99999),
  w: wholeField(0, 0, 99999),
  ...objectiveFields({ loss: "softmax", beta: 0.5, reg: 0.01, delta: 0.01 }),
  h: numberField(1e-5, 1e-12, 1),
  c: wholeField(0, 0, 99),
});

const problem = computed(() => ({
  set: state.set.value,
  n: state.n.value,
  seed: state.seed.value,
  weights_seed: state.w.value,
  ...objectiveOf(state),
}));

export const checked = signal<Checked | undefined>(undefined);
export const swept = signal<Swept | undefined>(undefined);
export const moved = signal<Moved | undefined>(undefined);
export const failure = signal("");

/** The coordinate whose errors are drawn. */
export const coordinate = computed(() => Math.min(state.c.value, (swept.value?.names.length ?? 1) - 1));

const check = stream(
  "gradient.check",
  (result) => {
    checked.value = result;
    failure.value = "";
  },
  say(failure),
);

const sweep = stream(
  "gradient.sweep",
  (result) => {
    swept.value = result;
  },
  say(failure),
);

/** Compare the gradient at the h that is chosen: an effect of the page. */
export function watchCheck(): void {
  void connections.value;
  check({ ...problem.value, h: state.h.value });
}

/** The errors of every h: an effect of the page. */
export function watchSweep(): void {
  void connections.value;
  sweep(problem.value);
}

const move = stream(
  "gradient.move",
  (result) => {
    moved.value = result;
  },
  say(failure),
);

/** One weight, moved by h: an effect of the page. */
export function watchMove(): void {
  void connections.value;
  move({ ...problem.value, h: state.h.value, coordinate: coordinate.value });
}
