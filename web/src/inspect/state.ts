// The picture and the settings of this page, all in its address, and what is requested for them.
import { batch, computed } from "@preact/signals";
import { choiceField, textField, wholeField } from "../fields";
import { linked } from "../route";
import { opened } from "./live";
import { severitiesAs, severitiesIn } from "./severities";

export const SHOWN = [
  ["all", "all"],
  ["wrong", "wrong"],
  ["right", "right"],
] as const;

export const METRICS = [
  ["l2", "L2"],
  ["l1", "L1"],
] as const;

export const state = linked("inspect", {
  run: textField(""),
  index: wholeField(0, 0, 1e9),
  own: textField(""),
  show: choiceField("all", ["all", "wrong", "right"] as const),
  label: wholeField(-1, -1, 100_000),
  found: wholeField(-1, -1, 100_000),
  page: wholeField(0, 0, 1e9),
  changes: textField(""),
  seed: wholeField(0, 0, 2 ** 31 - 1),
  first: wholeField(-1, -1, 100_000),
  second: wholeField(-1, -1, 100_000),
  metric: choiceField("l2", ["l2", "l1"] as const),
  k: wholeField(7, 1, 30),
});

/** The severity of each challenge that is not at 0. */
export const severities = computed(() => severitiesIn(state.changes.value));

export function setSeverity(name: string, value: number): void {
  state.changes.value = severitiesAs({ ...severities.peek(), [name]: value });
}

/** The picture as requests name it, or undefined while there is none to ask about. */
export const asked = computed(() => {
  const subject = opened.value;
  if (!subject?.shape || subject.run !== state.run.value) return undefined;
  if (!state.own.value && !subject.n_test) return undefined;
  const which = state.own.value ? { own: state.own.value } : { index: Math.min(state.index.value, subject.n_test - 1) };
  const known = severities.value;
  const usable = state.own.value
    ? Object.fromEntries(Object.entries(known).filter(([name]) => name !== "intraclass"))
    : known;
  return { run: subject.run, ...which, severities: usable, seed: state.seed.value };
});

export function choose(index: number): void {
  batch(() => {
    state.own.value = "";
    state.index.value = index;
  });
}
