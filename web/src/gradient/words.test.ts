import { expect, test } from "vitest";
import type { Checked } from "../protocol";
import { blurred, sameDigits, verdict } from "./words";

const checked = (changes: Partial<Checked>): Checked => ({
  ok: true,
  n_checked: 9,
  n_wrong: 0,
  n_kinks: 0,
  largest_error: 1e-10,
  tolerance: 1e-7,
  problems: [],
  coordinates: [],
  objective: 1,
  W: [],
  b: [],
  ...changes,
});

test("a gradient is right, wrong, or cannot be judged", () => {
  expect(verdict(checked({}))).toBe("The gradient is right");
  expect(verdict(checked({ ok: false }))).toBe("Beyond the tolerance");
  expect(verdict(checked({ largest_error: 1e-3 }))).toContain("rounding");
  expect(verdict(checked({ n_checked: 0 }))).toBe("Nothing could be compared");
});

test("an error within the tolerance, or none, is not put down to rounding", () => {
  expect([null, 1e-7, 1e-6].map((error) => blurred(error, checked({})))).toEqual([false, false, true]);
});

test("digits are the same up to the first that differs", () => {
  expect(sameDigits("−0.1234", "−0.1299")).toBe(5);
  expect(sameDigits("1.5", "1.5")).toBe(3);
  expect(sameDigits("−1", "1")).toBe(0);
});
