import { expect, test } from "vitest";
import { allowed, entries, lineOf, ownParameters, ownValues, shortName } from "./names";
import type { Choice, Parameter } from "./protocol";

const named = (name: string, title: string, formula = "", meaning = ""): Choice => ({
  name,
  title,
  formula,
  meaning,
  parameters: [],
});

test("a short name is an abbreviation in capitals, else words", () => {
  expect(["sgd", "gd", "l2", "hog"].map(shortName)).toEqual(["SGD", "GD", "L2", "HOG"]);
  expect(["squared-hinge", "none", "softmax", "hog+color"].map(shortName)).toEqual([
    "squared hinge",
    "none",
    "softmax",
    "hog+color",
  ]);
});

test("a line has the title and the right side of the formula, else the meaning", () => {
  expect(lineOf(named("l2", "L2", "R(W) = Σ W^2"))).toBe("L2: Σ W²");
  expect(lineOf(named("none", "none", "R(W) = 0"))).toBe("none");
  expect(lineOf(named("hog", "HOG", "", "histograms"))).toBe("HOG: histograms");
  expect(lineOf(named("own", "own"))).toBe("own");
});

test("before the table arrives a control shows its present value alone", () => {
  expect(entries(undefined, "squared-hinge", (one) => one.title)).toEqual([["squared-hinge", "squared hinge"]]);
});

test("a name that is not in the table is listed first, and marked", () => {
  const known = [named("hinge", "multiclass hinge")];
  expect(entries(known, "hinge", (one) => one.title)).toEqual([["hinge", "multiclass hinge"]]);
  expect(entries(known, "focal", (one) => one.title)).toEqual([
    ["focal", "focal (not here)"],
    ["hinge", "multiclass hinge"],
  ]);
});

const parameter = (name: string, about: Partial<Parameter> = {}): Parameter => ({
  name,
  default: 1,
  meaning: "",
  kind: "number",
  low: 0,
  high: null,
  open_low: true,
  ...about,
});

test("a request holds the parameters of the choice alone, each by its kind", () => {
  const loss = { ...named("own", "own"), parameters: ["delta", "gamma", "rho"].map((name) => parameter(name)) };
  const own = ownParameters("loss", loss);
  expect(own.map(({ name }) => name)).toEqual(["gamma", "rho"]);
  expect(ownValues(own, { gamma: 2, width: 3 })).toEqual({ gamma: 2 });
  expect(ownValues(own, { width: 3 })).toBeUndefined();
  expect(ownValues([parameter("on", { kind: "flag" })], { on: 0 })).toEqual({ on: false });
  expect(ownParameters("loss", undefined)).toEqual([]);
});

test("a value must lie in the range of its parameter", () => {
  expect([0, 1, 2.5].map((value) => allowed(parameter("gamma"), value))).toEqual([false, true, true]);
  expect(
    [0, 2.5, 9].map((value) => allowed(parameter("n", { kind: "whole", open_low: false, high: 5 }), value)),
  ).toEqual([true, false, false]);
});
