// Walks of the optimizers, from the weights that are shown, step by step or by themselves.
import { batch, effect, signal } from "@preact/signals";
import type { Proof, StateRecord } from "../protocol";
import { call } from "../socket";
import { seen } from "./look";
import { b, failure, type Method, points, problem, running, setWeights, state, W } from "./state";

export interface Walk {
  W: (readonly (readonly [number, number])[])[];
  b: (readonly number[])[];
  objective: (number | null)[];
  state: StateRecord | null;
  status: string;
  rate: number | null;
  chosen: string;
  batch: number[];
  epoch: number;
  certificate: Proof | null;
  method: Method;
}

export const walked = signal<Walk | undefined>(undefined);

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
  const result = await call("playground.step", {
    ...problem.value,
    W: W.value,
    b: b.value,
    method: state.opt.value,
    steps,
    state: start.state,
    learning_rate: state.auto.value ? null : state.rate.value,
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
