import { expect, test } from "vitest";
import { lineOf } from "./geometry";
import { shownHandles } from "./handles";

const LIMIT = 2.6;
const GAP = 0.25;

/** The least distance between two handles. */
const closest = (shown: { tip: readonly [number, number]; grip: readonly [number, number] }[]) => {
  const all = shown.flatMap(({ tip, grip }) => [tip, grip]);
  return Math.min(...all.flatMap((p, i) => all.slice(i + 1).map((q) => Math.hypot(p[0] - q[0], p[1] - q[1]))));
};

const START = [
  [0.87, -0.5],
  [0, 1],
  [-0.87, -0.5],
];

test("handles that are in nobody's way stay where they are", () => {
  const lines = START.map((w) => lineOf(w, 0, LIMIT));
  shownHandles(lines, LIMIT, GAP).forEach(({ tip, grip }, k) => {
    expect(tip).toEqual(lines[k]!.tip);
    expect(grip[0]).toBeCloseTo(lines[k]!.grip[0], 12);
    expect(grip[1]).toBeCloseTo(lines[k]!.grip[1], 12);
  });
});

test("no two handles are nearer than the gap, whatever the weights are", () => {
  const cases: [number[], number][][] = [
    Array(6).fill([[0, 0], 0]),
    Array(6).fill([[1, 1], 0.3]),
    Array(6).fill([[50, 50], -900]), // all in one corner
    Array(6).fill([[0.001, 0], 0]),
    Array.from({ length: 6 }, (_, k) => [[1 + k / 100, 0.5], k / 50]),
    Array.from({ length: 6 }, (_, k) => [[Math.cos(k), Math.sin(k)], 0]),
  ];
  for (const weights of cases) {
    const shown = shownHandles(
      weights.map(([w, b]) => lineOf(w, b, LIMIT)),
      LIMIT,
      GAP,
    );
    expect(closest(shown)).toBeGreaterThan(GAP - 1e-6);
    for (const at of shown.flatMap(({ tip, grip }) => [...tip, ...grip])) expect(Math.abs(at)).toBeLessThan(LIMIT);
  }
});

test("a square that gives way stays on its line", () => {
  const lines = [lineOf([1, 0.5], 0.2, LIMIT), lineOf([1, 0.5], 0.2, LIMIT), lineOf([1, 0.5], 0.2, LIMIT)];
  for (const { grip } of shownHandles(lines, LIMIT, GAP)) expect(grip[0] + 0.5 * grip[1] + 0.2).toBeCloseTo(0, 10);
});

test("the handle that is held does not move, the others do", () => {
  const lines = Array.from({ length: 3 }, () => lineOf([1, 0], 0, LIMIT));
  for (const k of [0, 1, 2]) {
    const shown = shownHandles(lines, LIMIT, GAP, { part: "tip", k });
    expect(shown[k]!.tip).toEqual(lines[k]!.tip);
    expect(closest(shown)).toBeGreaterThan(GAP - 1e-6);
  }
});
