// The rows of a trace: joined as they come, taken apart for charts. Pure functions.
import type { TraceRow } from "../protocol";

/** The rows known so far and those that arrived; from the first that arrived on, the old ones give way. */
export function merged(known: readonly TraceRow[], arrived: readonly TraceRow[]): TraceRow[] {
  const first = arrived[0]?.epoch;
  return first === undefined ? [...known] : [...known.filter((row) => row.epoch < first), ...arrived];
}

/** One quantity of every row; NaN where a row has none. */
export const column = (table: readonly TraceRow[], name: keyof TraceRow): number[] =>
  table.map((row) => row[name] ?? NaN);

/** Positions of at most `most` + 1 points of a curve, evenly spread, the last one included; none that cannot be drawn. */
export function thinned(x: readonly number[], y: readonly number[], most: number, log = false): number[] {
  const kept = x.map((_, i) => i).filter((i) => Number.isFinite(x[i]) && Number.isFinite(y[i]) && (!log || y[i]! > 0));
  const stride = Math.ceil(kept.length / most);
  return kept.filter((_, at) => at % stride === 0 || at === kept.length - 1);
}

/** What an optimizer counts: only SGD has epochs. */
export const unitOf = (optimizer: unknown): "epoch" | "iteration" => (optimizer === "sgd" ? "epoch" : "iteration");

/** What the optimizers of several runs count, in the plural. */
export const unitsOf = (optimizers: readonly string[]): string =>
  [...new Set(optimizers.map((one) => `${unitOf(one)}s`))].sort().join(" or ");

/** Whether the last glimpse is of the epoch after the last row, or of that row: where epochs are short, none may come. */
export const isRecent = (glimpses: readonly (readonly [number, number])[], table: readonly TraceRow[]): boolean =>
  glimpses.length > 0 && glimpses.at(-1)![0] >= (table.at(-1)?.epoch ?? 0) - 1;
