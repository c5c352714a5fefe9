import { expect, test } from "vitest";
import type { TraceRow } from "../protocol";
import { column, isRecent, merged, thinned, unitOf, unitsOf } from "./rows";

const row = (epoch: number, objective: number | null = null): TraceRow => ({ epoch, objective }) as TraceRow;

test("rows that arrive replace those from their first epoch on", () => {
  const known = [row(0, 5), row(1, 4), row(2, 3)];
  expect(merged(known, [row(1, 40), row(2, 30), row(3, 20)]).map((one) => one.objective)).toEqual([5, 40, 30, 20]);
  expect(merged(known, [])).toEqual(known);
});

test("a column has NaN where a row has no value", () => {
  expect(column([row(0, 2), row(1)], "objective")).toEqual([2, NaN]);
});

test("a thinned curve keeps the last point, and leaves out what cannot be drawn", () => {
  const x = Array.from({ length: 1001 }, (_, i) => i);
  const drawn = thinned(
    x,
    x.map((v) => v + 1),
    400,
  );
  expect(drawn.length).toBeLessThanOrEqual(401);
  expect(drawn.at(0)).toBe(0);
  expect(drawn.at(-1)).toBe(1000);
  expect(thinned([0, 1, 2, 3], [1, NaN, -1, 2], 10, true)).toEqual([0, 3]);
  expect(thinned([], [], 10)).toEqual([]);
});

test("only SGD counts epochs", () => {
  expect(["sgd", "gd", "exact", undefined].map(unitOf)).toEqual(["epoch", "iteration", "iteration", "iteration"]);
  expect(unitsOf(["sgd", "sgd"])).toBe("epochs");
  expect(unitsOf(["exact", "sgd", "gd"])).toBe("epochs or iterations");
});

test("a glimpse of an epoch that is long over is not recent", () => {
  expect(isRecent([[0.5, 2]], [])).toBe(true);
  expect(
    isRecent(
      [
        [0.5, 2],
        [2.5, 1],
      ],
      [row(2)],
    ),
  ).toBe(true);
  expect(isRecent([[0.5, 2]], [row(0), row(122)])).toBe(false);
  expect(isRecent([], [])).toBe(false);
});
