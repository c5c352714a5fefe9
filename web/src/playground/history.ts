// Undo and redo: what the points, the weights and the objective were each time that the hand had come to rest.
import { batch, computed, type Signal, signal } from "@preact/signals";
import { dragging, points, running, selected, state } from "./state";
import { endWalk } from "./walk";

/** What is undone: all that the numbers of the page depend on, and no setting of how they are shown. */
const UNDONE = [
  "set",
  "n",
  "seed",
  "p",
  "k",
  "names",
  "W",
  "b",
  "loss",
  "delta",
  "loss_options",
  "penalty",
  "beta",
  "reg",
  "penalty_options",
] as const;

/** Edits that are kept; of 400 points moved by hand each takes about 16 kB. */
const MOST_KEPT = 200;

interface Kept {
  /** States as texts, the last one first to come back. */
  past: readonly string[];
  now: string;
  future: readonly string[];
}

const written = () => JSON.stringify(Object.fromEntries(UNDONE.map((name) => [name, state[name].value])));

const kept = signal<Kept>({ past: [], now: "", future: [] });
export const canUndo = computed(() => kept.value.past.length > 0);
export const canRedo = computed(() => kept.value.future.length > 0);

/** Whether a pointer or a key is down: what it does until it is released is one edit. */
export const held = signal(false);

/** Keep the state as an edit of its own, if it is another one. */
function keep(): void {
  const text = written();
  const { past, now } = kept.peek();
  if (text === now) return;
  kept.value = { past: now === "" ? [] : [...past, now].slice(-MOST_KEPT), now: text, future: [] };
}

/** Keep every edit: an effect of the page. */
export function record(): () => void {
  for (const name of UNDONE) void state[name].value;
  if (kept.peek().now === "") keep();
  if (held.value || dragging.value || running.value) return () => undefined;
  const timer = setTimeout(keep); // at once, but after all that one event changes
  return () => clearTimeout(timer);
}

function show(text: string): void {
  const found = JSON.parse(text) as Record<string, unknown>;
  batch(() => {
    endWalk();
    for (const name of UNDONE) (state[name] as Signal<unknown>).value = found[name];
    selected.value = Math.max(0, Math.min(selected.value, points.value.length - 1));
  });
}

export function undo(): void {
  keep();
  const { past, now, future } = kept.peek();
  const back = past.at(-1);
  if (back === undefined) return;
  kept.value = { past: past.slice(0, -1), now: back, future: [...future, now] };
  show(back);
}

export function redo(): void {
  keep();
  const { past, now, future } = kept.peek();
  const next = future.at(-1);
  if (next === undefined) return;
  kept.value = { past: [...past, now], now: next, future: future.slice(0, -1) };
  show(next);
}

/** Whether an element has an undo of its own. */
const isText = (target: EventTarget | null): boolean =>
  target instanceof HTMLTextAreaElement || (target instanceof HTMLInputElement && target.type === "text");

function shortcut(event: KeyboardEvent): void {
  held.value = true;
  if (!(event.ctrlKey || event.metaKey) || event.altKey || isText(event.target)) return;
  const key = event.key.toLowerCase();
  if (key === "z" && !event.shiftKey) undo();
  else if (key === "y" || key === "z") redo();
  else return;
  event.preventDefault();
}

/** Follow pointers and keys, Ctrl+Z among them, while the page is shown; gives the function that ends it. */
export function listen(): () => void {
  const down = () => {
    held.value = true;
  };
  const up = () => {
    held.value = false;
  };
  const heard = [
    ["pointerdown", down],
    ["pointerup", up],
    ["pointercancel", up],
    ["keydown", shortcut],
    ["keyup", up],
    ["blur", up],
  ] as [string, (event: Event) => void][];
  for (const [name, listener] of heard) addEventListener(name, listener, true);
  return () => {
    for (const [name, listener] of heard) removeEventListener(name, listener, true);
    up();
  };
}
