import { expect, test } from "vitest";
import { fixed, percentText, probability, shown, typed } from "./numbers";

test("numbers have four digits, a true minus sign, and no noise", () => {
  expect([0.1 + 0.2, -2, 1234567, 0.00001, 0].map((value) => shown(value))).toEqual([
    "0.3",
    "−2",
    "1.235e6",
    "1e−5",
    "0",
  ]);
  expect(shown(null)).toBe("∞");
});

test("a fixed number of decimals never shows 0 for what is not", () => {
  expect(fixed(1.005, 2)).toBe("1.00");
  expect(fixed(-3.16159, 3)).toBe("−3.162");
  expect(fixed(0.0004, 2)).toBe("0.0004");
  expect(fixed(0, 2)).toBe("0.00");
});

test("what is typed may have a comma or a true minus sign", () => {
  expect(["1,5", "−2", " 3 "].map(typed)).toEqual([1.5, -2, 3]);
  expect(["", "abc", "1e999"].map(typed)).toEqual([undefined, undefined, undefined]);
});

test("a share is called 0% or 100% only where it is", () => {
  expect([0.413, 1, 0.9996, 0.00004, 0].map((share) => percentText(share, 1))).toEqual([
    "41.3%",
    "100.0%",
    "99.96%",
    "0.004%",
    "0.0%",
  ]);
  expect([0.99996, 0.9444].map((share) => percentText(share))).toEqual(["99.996%", "94.44%"]);
});

test("a probability is called 0 or 1 only where it is", () => {
  expect([0.5, 1, 0, 0.9996, 1e-9].map(probability)).toEqual(["50.0%", "100.0%", "0.0%", ">99.9%", "<0.1%"]);
});
