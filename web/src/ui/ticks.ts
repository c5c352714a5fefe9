// The ticks of an axis, and what is written at them. Pure functions.
import { shown } from "./numbers";

/** Round numbers, about `count` of them, that lie in [low, high]. */
export function ticksOf(low: number, high: number, count: number): number[] {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= rough) ?? 10);
  const found: number[] = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + 1e-9 * step; t += step)
    found.push(Math.abs(t) < 1e-9 * step ? 0 : t);
  return found;
}

/** Powers of ten that lie in [low, high], about `count` of them; within a decade or two also their double and fivefold. */
export function powersOf(low: number, high: number, count: number): number[] {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const step = Math.max(1, Math.ceil((last - first + 1) / Math.max(1, count)));
  const found: number[] = [];
  for (let power = first; power <= last; power += step) found.push(10 ** power);
  if (found.length > 1) return found;
  // within a decade or two there would be one at most
  const fine = [-1, 0, 1].flatMap((more) => [1, 2, 5].map((m) => m * 10 ** (first + more)));
  return fine.filter((tick) => tick >= low && tick <= high);
}

const SUPERS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** A power of ten with its exponent above the line, another number as it is. */
export const power = (value: number): string => {
  const exponent = Math.round(Math.log10(value));
  if (Math.abs(value / 10 ** exponent - 1) > 1e-6) return shown(value, 2);
  if (exponent === 0) return "1";
  return `10${exponent < 0 ? "⁻" : ""}${[...String(Math.abs(exponent))].map((digit) => SUPERS[Number(digit)]).join("")}`;
};
