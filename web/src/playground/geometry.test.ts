import { expect, test } from "vitest";
import { arrowKey, arrowOf, lineOf, sizeOf, turned, weightsOf } from "./geometry";

const LIMIT = 1.25;
const W = [0.6, -0.8] as const;

test("the line of a class lies where its score is 0", () => {
  const { foot, ends } = lineOf(W, 0.3, LIMIT);
  const score = (x: number, y: number) => W[0] * x + W[1] * y + 0.3;
  expect(score(...foot)).toBeCloseTo(0, 12);
  expect(score(ends![0], ends![1])).toBeCloseTo(0, 12);
  expect(score(ends![2], ends![3])).toBeCloseTo(0, 12);
});

test("foot, tip and grip stay in the view where the line is out of it", () => {
  for (const bias of [-50, 50]) {
    const { foot, tip, grip } = lineOf(W, bias, LIMIT);
    for (const at of [...foot, ...tip, ...grip]) expect(Math.abs(at)).toBeLessThan(LIMIT);
  }
});

test("a weight vector of length 0 has no line, and an arrow that can be taken", () => {
  const { ends, tip } = lineOf([0, 0], 1, LIMIT);
  expect(ends).toBeUndefined();
  expect(tip[1]).toBeGreaterThan(0);
});

test("an arrow that is drawn to its own tip keeps the weights", () => {
  for (const size of [0.01, 1, 5]) expect(sizeOf(arrowOf(size))).toBeCloseTo(size, 10);
  const { foot, tip } = lineOf(W, 0.1, LIMIT);
  const again = weightsOf(tip[0] - foot[0], tip[1] - foot[1], LIMIT)!;
  expect(again[0]).toBeCloseTo(W[0], 10);
  expect(again[1]).toBeCloseTo(W[1], 10);
});

test("an arrow beyond the view is as long as weights can be, one of length 0 has no direction", () => {
  expect(Math.hypot(...weightsOf(100, 0, LIMIT)!)).toBeCloseTo(0.985 / 0.015, 8);
  expect(weightsOf(0, 1e-9, LIMIT)).toBeUndefined();
});

test("left turns anticlockwise and keeps the length, up lengthens and keeps the direction", () => {
  const left = turned([1, 0], "ArrowLeft", 90)!;
  expect(left[0]).toBeCloseTo(0, 12);
  expect(left[1]).toBeCloseTo(1, 12);
  expect(turned([2, 0], "ArrowUp", 2)![0]).toBeCloseTo(2.1, 12);
  expect(turned([0, 0], "ArrowUp", 2)![0]).toBeGreaterThan(0);
  expect(turned([1, 0], "Enter", 2)).toBeUndefined();
});

test("an arrow key moves up by adding to x₂", () => {
  expect(arrowKey("ArrowUp", 0.1)).toEqual([0, 0.1]);
  expect(arrowKey("ArrowLeft", 0.1)).toEqual([-0.1, 0]);
  expect(arrowKey("a", 0.1)).toBeUndefined();
});
