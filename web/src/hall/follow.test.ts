import { expect, test } from "vitest";
import type { HallState } from "../protocol";
import { isNew, mark } from "./follow";

const state: HallState = {
  role: "student",
  closed: [],
  address: "",
  students: 0,
  shown: "#/scores",
  turn: 1,
  code: [],
};

test("a step is followed once, whatever the page was renewed for", () => {
  expect(isNew(state, "")).toBe(true);
  expect(isNew(state, mark(state))).toBe(false);
});

test("the same step shown again is followed again", () => {
  expect(isNew({ ...state, turn: 2 }, mark(state))).toBe(true);
});

test("nobody is moved before the first step, and the lecturer never", () => {
  expect(isNew({ ...state, shown: "", turn: 0 }, "")).toBe(false);
  expect(isNew({ ...state, role: "lecturer" }, "")).toBe(false);
});
