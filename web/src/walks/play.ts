// The clock of the walks: plays them at a speed, in larger steps where the system requests less motion.
import { at, playing, speed, state } from "./state";

let frame = 0;
let before = 0;

function tick(now: number): void {
  if (!playing.peek()) return;
  const next = at.peek() + ((now - before) / 1000) * speed.peek();
  before = now;
  if (next >= state.steps.peek()) {
    at.value = state.steps.peek();
    playing.value = false;
    return;
  }
  at.value = next;
  frame = requestAnimationFrame(tick);
}

export function play(): void {
  if (at.peek() >= state.steps.peek()) at.value = 0;
  playing.value = true;
  before = performance.now();
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(tick);
}

export function pause(): void {
  playing.value = false;
  cancelAnimationFrame(frame);
}

export function toStep(step: number): void {
  pause();
  at.value = step;
}
