import { expect, test } from "vitest";
import { power, powersOf, ticksOf } from "./ticks";

test("ticks are round numbers within the range, and 0 is 0", () => {
  expect(ticksOf(-1.25, 1.25, 6)).toEqual([-1, -0.5, 0, 0.5, 1]);
  expect(ticksOf(0, 100, 5)).toEqual([0, 20, 40, 60, 80, 100]);
  expect(ticksOf(0.3, 0.7, 2).every((tick) => tick >= 0.3 && tick <= 0.7)).toBe(true);
});

test("a logarithmic axis has whole powers, fewer where there is no room", () => {
  expect(powersOf(1e-3, 1e2, 10).map((tick) => Math.log10(tick))).toEqual([-3, -2, -1, 0, 1, 2]);
  expect(powersOf(1e-12, 1, 4)).toHaveLength(4);
});

test("within a decade it has the double and the fivefold as well", () => {
  expect(powersOf(0.15, 0.6, 5)).toEqual([0.2, 0.5]);
});

test("a power of ten has its exponent above the line", () => {
  expect([1e-12, 1, 10, 1e5, 0.2].map(power)).toEqual(["10⁻¹²", "1", "10¹", "10⁵", "0.2"]);
});
