import { expect, test } from "vitest";
import { entries, lineOf, type Named, shortName } from "./names";

const named = (name: string, title: string, formula = "", meaning = ""): Named => ({
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
