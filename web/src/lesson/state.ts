// Which step of the guided path is open, what was predicted, and what is revealed. The step is in the address.
import { computed, effect, signal } from "@preact/signals";
import { openAddress, step } from "../route";
import { STEPS } from "./steps";

/** The number of the step, from 1; 0 where the path is closed. */
export const number = computed(() => Math.min(step.value, STEPS.length));

export const current = computed(() => STEPS[number.value - 1]);

/** Predictions by step, kept while the page is open. */
export const predictions = signal<Record<number, string>>({});

export const revealed = signal(false);

// An answer is hidden until it is asked for, at every step anew.
effect(() => {
  void number.value;
  revealed.value = false;
});

/** The address of a step: its page, with the state it begins with. */
export function addressOf(n: number): string {
  const where = STEPS[n - 1]?.address ?? "";
  return `#/${where}${where.includes("?") ? "&" : "?"}step=${n}`;
}

export const go = (n: number): void => openAddress(addressOf(n));

export function predict(text: string): void {
  predictions.value = { ...predictions.peek(), [number.peek()]: text };
}
