// The surface, the start and the walkers of this page, all in its address; and the library's answers.
import { batch, computed, signal } from "@preact/signals";
import { choiceField, type Field, numberField, wholeField } from "../fields";
import type { GroundName, Path, Shape, Walker } from "../protocol";
import { linked } from "../route";
import { connections, request, say, stream } from "../socket";

export const GROUNDS: readonly (readonly [GroundName, string])[] = [
  ["valley", "a long valley"],
  ["saddle", "a saddle"],
];

/** Colours that the colour-blind can tell apart, one for each walker. */
export const COLORS = [0, 1, 2, 5, 4, 3].map((k) => `var(--class-${k})`);
export const MOST_WALKERS = 6;
const WORD = /^[\w+.-]{1,40}$/;

/** Walkers as "plain~0.1~constant~0", one after the other. */
export const walkersField = (start: readonly Walker[]): Field<readonly Walker[]> => ({
  start,
  write: (walkers) => walkers.map((w) => [w.update, w.rate, w.schedule, w.batch].join("~")).join("~"),
  read: (text) => {
    const parts = text.split("~");
    if (parts.length % 4 || parts.length > 4 * MOST_WALKERS) return undefined;
    const found = Array.from({ length: parts.length / 4 }, (_, i) => ({
      update: parts[4 * i]!,
      rate: Number(parts[4 * i + 1]),
      schedule: parts[4 * i + 2]!,
      batch: Number(parts[4 * i + 3]),
    }));
    const right = (w: Walker) =>
      WORD.test(w.update) &&
      WORD.test(w.schedule) &&
      w.rate > 0 &&
      w.rate <= 1000 &&
      Number.isInteger(w.batch) &&
      w.batch >= 0;
    return found.every(right) ? found : undefined;
  },
});

const walker = (update: string, rate: number, batchSize = 0): Walker => ({
  update,
  rate,
  schedule: "constant",
  batch: batchSize,
});

export const state = linked("walks", {
  ground: choiceField<GroundName>("valley", ["valley", "saddle"]),
  x: numberField(2.6, -1000, 1000),
  y: numberField(-0.8, -1000, 1000),
  w: walkersField([walker("plain", 0.1), walker("plain", 0.1, 8), walker("momentum", 0.1), walker("adam", 0.1)]),
  steps: wholeField(100, 1, 400),
  seed: wholeField(0, 0, 99999),
});

export const shape = signal<Shape | undefined>(undefined);
export const paths = signal<readonly Path[]>([]);
export const failure = signal("");
/** The step up to which the walks are shown. */
export const at = signal(0);
export const playing = signal(false);
/** Steps a second. */
export const speed = signal(20);
/** The step that is shown: no walk may be longer than what came. */
export const shownAt = computed(() => Math.min(Math.floor(at.value), state.steps.value));

const ask = stream(
  "walks.run",
  (result) => {
    batch(() => {
      paths.value = result;
      failure.value = "";
    });
  },
  say(failure),
);

/** The walks from the start: an effect of the page. */
export function watchWalks(): void {
  void connections.value;
  const { ground, x, y, w, steps, seed } = state;
  ask({ ground: ground.value, x: x.value, y: y.value, walkers: w.value, steps: steps.value, seed: seed.value });
}

/** The surface: an effect of the page. */
export function watchSurface(): () => void {
  void connections.value;
  return request(
    "walks.surface",
    { ground: state.ground.value },
    (result) => {
      shape.value = result;
    },
    say(failure),
  );
}

export function setWalker(i: number, change: Partial<Walker>): void {
  state.w.value = state.w.value.map((old, j) => (j === i ? { ...old, ...change } : old));
}

export function addWalker(): void {
  const last = state.w.value.at(-1);
  if (last && state.w.value.length < MOST_WALKERS) state.w.value = [...state.w.value, last];
}

export function removeWalker(i: number): void {
  if (state.w.value.length > 1) state.w.value = state.w.value.filter((_, j) => j !== i);
}

export function place(x: number, y: number): void {
  batch(() => {
    state.x.value = Number(x.toFixed(3));
    state.y.value = Number(y.toFixed(3));
    at.value = 0;
  });
}

/** Another surface, with a start that shows what it is about. */
export function choose(name: GroundName): void {
  batch(() => {
    const [x, y] = name === "saddle" ? [0.02, -0.05] : [2.6, -0.8];
    state.ground.value = name;
    state.x.value = x;
    state.y.value = y;
    at.value = 0;
  });
}
