import { expect, test } from "vitest";
import { darkPath } from "./code";

test("each dark module is a square at its place", () => {
  expect(darkPath(["10", "01"])).toBe("M0 0h1v1h-1zM1 1h1v1h-1z");
  expect(darkPath([])).toBe("");
});
