// The playground's state: points, weights, settings, all in the address; and the library's answers.
import { batch, computed, effect, signal } from "@preact/signals";
import { choiceField, type Field, flagField, nameField, numberField, numbersField, wholeField } from "../fields";
import { linked } from "../route";
import { type PlanarSet, SETS } from "./names";
import { call, connections, type Packed, request, stream } from "../socket";

export interface Point {
  x: number;
  y: number;
  label: number;
}

export type Method = "gd" | "sgd" | "exact";

/** Half the side of the square that shows all of a set. */
const HALF: Record<PlanarSet, number> = { shell: 2.8, "three-modes": 2.8, quadrants: 2.3, spiral: 1.25 };

/** Points moved by hand: x_y_label in thousandths; empty while they are those of the set. */
const pointsField: Field<Point[] | undefined> = {
  start: undefined,
  write: (points) =>
    points?.map((p) => `${Math.round(p.x * 1000)}_${Math.round(p.y * 1000)}_${p.label}`).join("~") ?? "",
  read: (text) => {
    const found = text.split("~").map((part) => part.split("_").map(Number));
    if (found.length < 1 || found.length > 400 || !found.every((p) => p.length === 3 && p.every(Number.isInteger)))
      return undefined;
    return found.map(([x, y, label]) => ({ x: x! / 1000, y: y! / 1000, label: Math.min(5, Math.max(0, label!)) }));
  },
};

const START_W = [0.87, -0.5, 0, 1, -0.87, -0.5];

export const state = linked("playground", {
  set: choiceField<PlanarSet>("spiral", SETS),
  n: wholeField(60, 2, 400),
  seed: wholeField(0, 0, 99999),
  p: pointsField,
  k: wholeField(3, 2, 6),
  W: numbersField(START_W, 12),
  b: numbersField([0, 0, 0], 6),
  loss: nameField("hinge"),
  delta: numberField(1, 0.01, 100),
  penalty: nameField("l2"),
  beta: numberField(0.5, 0, 100),
  reg: numberField(0.001, 0, 100),
  /** The class whose weights have sliders. */
  c: wholeField(0, 0, 5),
  regions: choiceField<"linear" | "both" | "knn" | "none">("linear", ["linear", "both", "knn", "none"]),
  neighbors: wholeField(3, 1, 50),
  lines: flagField(true),
  opt: choiceField<Method>("gd", ["gd", "sgd", "exact"]),
  auto: flagField(true),
  rate: numberField(0.1, 1e-6, 1000),
  search: flagField(false),
  batch: wholeField(8, 1, 400),
  epochs: wholeField(20, 1, 1000),
  schedule: nameField("cosine"),
  update: nameField("momentum"),
  momentum: numberField(0.9, 0, 0.99),
  order: wholeField(0, 0, 99999),
});

const drawn = signal<Point[]>([]);
export const classNames = signal<string[]>([]);
export const failure = signal("");
export const points = computed(() => state.p.value ?? drawn.value);
export const half = computed(() => HALF[state.set.value]);
export const selected = signal(0);
export const dragging = signal(false);

/** W (K, 2) and b (K,) of as many classes as there are; what an address leaves out is 0. */
export const K = computed(() => Math.max(state.k.value, ...points.value.map((p) => p.label + 1)));
export const W = computed(() =>
  Array.from({ length: K.value }, (_, k) => [state.W.value[2 * k] ?? 0, state.W.value[2 * k + 1] ?? 0] as const),
);
export const b = computed(() => Array.from({ length: K.value }, (_, k) => state.b.value[k] ?? 0));

const LARGEST = 999;
const tidy = (value: number, digits: number) => Math.min(LARGEST, Math.max(-LARGEST, Number(value.toFixed(digits))));

export function setWeights(newW: readonly (readonly number[])[], newB: readonly number[], digits = 6): void {
  batch(() => {
    state.W.value = newW.flatMap((row) => row.map((w) => tidy(w, digits)));
    state.b.value = newB.map((value) => tidy(value, digits));
  });
}

/** Change what belongs to one class by hand: a walk that was going on has ended. */
export function setClass(k: number, w: readonly number[], bias: number): void {
  endWalk();
  setWeights(
    W.value.map((row, j) => (j === k ? w : row)),
    b.value.map((value, j) => (j === k ? bias : value)),
    3,
  );
}

export function setPoints(next: Point[]): void {
  state.p.value = next;
}

export function movePoint(i: number, x: number, y: number): void {
  const limit = half.value;
  const keep = (value: number) => Math.round(Math.min(limit, Math.max(-limit, value)) * 1000) / 1000;
  setPoints(points.value.map((p, j) => (j === i ? { ...p, x: keep(x), y: keep(y) } : p)));
}

export function relabel(i: number, label: number): void {
  if (label < K.value) setPoints(points.value.map((p, j) => (j === i ? { ...p, label } : p)));
}

export function addPoint(x: number, y: number, label: number): void {
  if (points.value.length >= 400) return;
  setPoints([...points.value, { x: Math.round(x * 1000) / 1000, y: Math.round(y * 1000) / 1000, label }]);
  selected.value = points.value.length - 1;
}

export function deletePoint(i: number): void {
  if (points.value.length <= 2) return;
  setPoints(points.value.filter((_, j) => j !== i));
  selected.value = Math.min(i, points.value.length - 1);
}

export function setClasses(n: number): void {
  if (n < 2 || n > 6) return;
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

/** Take the points of a set as they are drawn, and lines for as many classes as it has. */
export function takeSet(set: PlanarSet): void {
  endWalk();
  const n = set === "spiral" ? 3 : 2;
  batch(() => {
    state.set.value = set;
    state.p.value = undefined;
    if (state.k.value !== n) {
      state.k.value = n;
      setWeights(
        n === 3
          ? [
              [0.87, -0.5],
              [0, 1],
              [-0.87, -0.5],
            ]
          : [
              [1, 0.3],
              [-1, -0.3],
            ],
        Array(n).fill(0),
      );
    }
    selected.value = 0;
  });
}

interface Drawn {
  points: [number, number][];
  labels: number[];
  class_names: string[];
}

// The points of the set, whenever it is another one.
effect(() => {
  void connections.value;
  const params = { set: state.set.value, n: state.n.value, seed: state.seed.value };
  return request<Drawn>(
    "playground.draw",
    params,
    (result) => {
      batch(() => {
        drawn.value = result.points.map(([x, y], i) => ({ x, y, label: result.labels[i]! }));
        classNames.value = result.class_names;
      });
    },
    (error) => {
      failure.value = error.message;
    },
  );
});

export interface Look {
  scores: number[][];
  margins: number[];
  losses: number[];
  predicted: number[];
  data_loss: number;
  R: number;
  penalty: number;
  objective: number;
  accuracy: number;
  gradient_norm: number;
  regions?: Packed;
  neighbors?: Packed;
}

/** The points, weights and loss as every request holds them. */
const problem = computed(() => ({
  points: points.value.map((p) => [p.x, p.y]),
  labels: points.value.map((p) => p.label),
  n_classes: K.value,
  loss: state.loss.value,
  delta: state.delta.value,
  penalty: state.penalty.value,
  beta: state.beta.value,
  reg: state.reg.value,
}));

/** What was seen last, while a drag runs a moment ago, */
export const seen = signal<Look | undefined>(undefined);
/** and the points that it was seen of. */
export const seenPoints = signal<Point[]>([]);
const ask = stream<Look, Point[]>(
  "playground.look",
  (result, of) => {
    batch(() => {
      seen.value = result;
      seenPoints.value = of;
      failure.value = "";
    });
  },
  (error) => {
    failure.value = error.message;
  },
);

/** Points of the grid of regions along a side: of one that is looked at, and of one that changes under the hand. */
const GRID = 240;
const GRID_MOVING = 120;

export function watch(): void {
  void connections.value;
  if (points.value.length < 1) return;
  const limit = half.value;
  const params = {
    ...problem.value,
    W: W.value,
    b: b.value,
    ...(state.regions.value !== "none" && {
      view: [-limit, -limit, limit, limit],
      size: dragging.value || running.value ? GRID_MOVING : GRID,
      ...((state.regions.value === "knn" || state.regions.value === "both") && {
        neighbors: { k: Math.min(state.neighbors.value, points.value.length), metric: "l2" },
      }),
    }),
  };
  ask(params, points.value);
}

// ---- walks of the optimizers ----

interface Certificate {
  objective: number;
  lower_bound: number | null;
  gap: number | null;
  relative_gap: number | null;
  words: string;
}

interface Step {
  W: number[][][];
  b: number[][];
  objective: (number | null)[];
  status: string;
  state: unknown;
  learning_rate: number | null;
  chosen: string;
  batch: number[];
  epoch: number;
  certificate: Certificate | null;
}

export interface Walk {
  W: (readonly (readonly number[])[])[];
  b: (readonly number[])[];
  objective: (number | null)[];
  state: unknown;
  status: string;
  rate: number | null;
  chosen: string;
  batch: number[];
  epoch: number;
  certificate: Certificate | null;
  method: Method;
}

export const walked = signal<Walk | undefined>(undefined);
export const running = signal(false);

export function endWalk(): void {
  batch(() => {
    running.value = false;
    walked.value = undefined;
  });
}

/** Take some steps, from the state of the walk or from the weights shown; whether the walk can continue. */
export async function stepOn(steps: number): Promise<boolean> {
  const before = walked.value?.method === state.opt.value ? walked.value : undefined;
  // the bare weights, not those rounded for the address, are in the state of the walk
  const start = before ?? {
    W: [W.value],
    b: [b.value],
    objective: [seen.value?.objective ?? null],
    state: null,
    status: "",
    rate: null,
    chosen: "",
    batch: [],
    epoch: 0,
    certificate: null,
    method: state.opt.value,
  };
  if (before && before.status !== "") return false;
  const result = await call<Step>("playground.step", {
    ...problem.value,
    W: W.value,
    b: b.value,
    method: state.opt.value,
    steps,
    ...(start.state !== null && { state: start.state }),
    ...(!state.auto.value && { learning_rate: state.rate.value }),
    line_search: state.search.value,
    batch_size: Math.min(state.batch.value, points.value.length),
    epochs: state.epochs.value,
    schedule: state.schedule.value,
    update: state.update.value,
    momentum: state.momentum.value,
    seed: state.order.value,
  });
  if (before && walked.value !== before) return false; // the user ended it in the meantime
  const exact = state.opt.value === "exact";
  batch(() => {
    walked.value = {
      // the exact optimizers start at W = 0, whatever is shown
      W: [...(exact ? [] : start.W), ...result.W],
      b: [...(exact ? [] : start.b), ...result.b],
      objective: [...(exact ? [] : start.objective), ...result.objective],
      state: result.state,
      status: result.status,
      rate: result.learning_rate,
      chosen: result.chosen || start.chosen,
      batch: result.batch,
      epoch: result.epoch,
      certificate: result.certificate,
      method: state.opt.value,
    };
    const lastW = result.W.at(-1);
    const lastB = result.b.at(-1);
    if (lastW && lastB) setWeights(lastW, lastB);
  });
  return result.status === "";
}

/** Back to where the walk began. */
export function resetWalk(): void {
  const walk = walked.value;
  endWalk();
  if (walk?.W[0] && walk.b[0]) setWeights(walk.W[0], walk.b[0]);
}

export async function advance(steps: number): Promise<boolean> {
  try {
    const goesOn = await stepOn(steps);
    failure.value = "";
    return goesOn;
  } catch (error) {
    failure.value = (error as Error).message;
    return false;
  }
}

const still = matchMedia("(prefers-reduced-motion: reduce)");

export async function run(): Promise<void> {
  if (running.value) {
    running.value = false;
    return;
  }
  running.value = true;
  while (running.value) {
    // with reduced motion, larger steps with pauses between them
    const goesOn = await advance(still.matches ? 25 : 1);
    if (!goesOn) break;
    await new Promise((resolve) => (still.matches ? setTimeout(resolve, 400) : requestAnimationFrame(resolve)));
  }
  running.value = false;
}

// When what a walk was computed on changes, the walk is over.
effect(() => {
  void problem.value;
  if (walked.peek()) endWalk();
});

export interface Surface {
  half: number;
  /** log L, from the lowest, 0, to the highest, 255. */
  heights: Packed;
  minimum: number;
  path: [number, number][];
}

export const surface = signal<Surface | undefined>(undefined);
const askSurface = stream<Surface>(
  "playground.landscape",
  (result) => {
    surface.value = result;
  },
  (error) => {
    failure.value = error.message;
  },
);

let rest: ReturnType<typeof setTimeout> | undefined;
/** Ask for the slice when the hand rests: it takes longer than a frame. */
export function watchSurface(): void {
  void connections.value;
  const now = problem.value;
  const walk = walked.value;
  const here = { W: [W.value], b: [b.value] };
  clearTimeout(rest);
  if (now.points.length < 1) return;
  const path = walk ?? here;
  const every = Math.max(1, Math.ceil(path.W.length / 150));
  const kept = path.W.map((_, i) => i).filter((i) => i % every === 0 || i === path.W.length - 1);
  const params = { ...now, path_W: kept.map((i) => path.W[i]), path_b: kept.map((i) => path.b[i]), size: 41 };
  rest = setTimeout(() => askSurface(params), running.value ? 0 : 150);
}
