import { expect, test } from "vitest";
import { placed, pointAt, pointsField, tidy } from "./points";

test("points are written in thousandths and read back", () => {
  const points = [pointAt(0.1, -1.2345, 0), pointAt(2, 0.0004, 5)];
  expect(pointsField.write(points)).toBe("100_-1234_0~2000_0_5");
  expect(pointsField.read("100_-1234_0~2000_0_5")).toEqual([
    { x: 0.1, y: -1.234, label: 0 },
    { x: 2, y: 0, label: 5 },
  ]);
  expect(pointsField.write(undefined)).toBe("");
});

test("what is no list of points is not read, and a label beyond the classes is the last class", () => {
  for (const text of ["", "1_2", "1_2_3_4", "1_x_0", "1.5_2_0", Array(401).fill("0_0_0").join("~")])
    expect(pointsField.read(text)).toBeUndefined();
  expect(pointsField.read("0_0_9~0_0_-1")?.map((point) => point.label)).toEqual([5, 0]);
});

test("a point that is moved stays in the view and keeps its class", () => {
  expect(placed({ x: 0, y: 0, label: 2 }, 3, -0.12345, 1.25)).toEqual({ x: 1.25, y: -0.123, label: 2 });
});

test("a weight keeps its decimals, within ±999, and 0 has no sign", () => {
  expect([1.23456, 5000, -5000].map((value) => tidy(value, 3))).toEqual([1.235, 999, -999]);
  expect(Object.is(tidy(-0, 3), 0)).toBe(true);
});
