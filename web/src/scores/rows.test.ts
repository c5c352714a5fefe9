import { expect, test } from "vitest";
import { labelsOf, limited, rowsField, shortened, spanOf } from "./rows";

const field = rowsField([[0, 0]]);

test("rows of scores are written and read back", () => {
  const rows = [
    [3.2, 5.1, -1.7],
    [1.3, 4.9, 2],
  ];
  expect(field.write(rows)).toBe("3.2_5.1_-1.7~1.3_4.9_2");
  expect(field.read(field.write(rows))).toEqual(rows);
});

test("rows of unlike lengths, of one class or of none are not read", () => {
  for (const text of ["1_2~3", "1", "", "1_2~x_3", Array(11).fill("1_2").join("~"), Array(11).fill("1").join("_")])
    expect(field.read(text)).toBeUndefined();
});

test("a score keeps three decimals, within ±10000", () => {
  expect([1.23456, 20000, -1e9].map(limited)).toEqual([1.235, 10000, -10000]);
});

test("the longest bar leaves a tenth of the height for its figure", () => {
  expect([4, 7, 10, 100, 10000].map((score) => spanOf([[0, -score]]))).toEqual([5, 8, 12, 120, 12000]);
  expect(spanOf([[0.1, 0.2]])).toBe(5);
});

test("a label is a class that is there, whatever the address says", () => {
  const rows = [
    [1, 2, 3],
    [4, 5, 6],
    [7, 8, 9],
  ];
  expect(labelsOf(rows, [9, -1])).toEqual([2, 0, 0]);
  expect(labelsOf(rows, [0.6, 1, 2, 2])).toEqual([1, 1, 2]);
});

test("a name that is cut is marked, and keeps three letters", () => {
  expect(["automobile", "bird", "truck"].map((name) => shortened(name, 7))).toEqual(["automo…", "bird", "truck"]);
  expect(["airplane", "deer"].map((name) => shortened(name, 2))).toEqual(["air…", "deer"]);
});
