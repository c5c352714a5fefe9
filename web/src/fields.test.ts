import { expect, test } from "vitest";
import {
  asText,
  choiceField,
  flagField,
  nameField,
  numberField,
  numbersField,
  recordField,
  wholeField,
} from "./fields";

test("a number outside its range, or no number, is not read", () => {
  const field = numberField(1, 0, 10);
  expect(field.read("2.5")).toBe(2.5);
  for (const text of ["", " ", "11", "-1", "NaN", "1e"]) expect(field.read(text)).toBeUndefined();
});

test("what is written is read back, to seven digits", () => {
  const field = numberField(1);
  for (const value of [0, -2.5, 1e-7, 123456.7, 1 / 3]) expect(field.read(field.write(value))).toBeCloseTo(value, 6);
});

test("a whole number has no decimals", () => {
  const field = wholeField(1, 0, 10);
  expect(field.read("3")).toBe(3);
  expect(field.read("3.5")).toBeUndefined();
});

test("a choice is one of the known, a name is any that could be a choice", () => {
  expect(choiceField("a", ["a", "b"]).read("c")).toBeUndefined();
  expect(nameField("softmax").read("hog+color")).toBe("hog+color");
  for (const text of ["", "<b>", "two words", "x".repeat(61)]) expect(nameField("softmax").read(text)).toBeUndefined();
});

test("a flag is 0 or 1", () => {
  expect(["1", "0", "yes"].map(flagField(false).read)).toEqual([true, false, undefined]);
});

test("a list of numbers keeps its length limit, and may be empty", () => {
  const field = numbersField([], 3);
  expect(field.read("1_-2.5_3")).toEqual([1, -2.5, 3]);
  expect(field.read("")).toEqual([]);
  expect(field.read("1_2_3_4")).toBeUndefined();
  expect(field.read("1_x")).toBeUndefined();
});

test("a list writes a number, and shows the one that is in range", () => {
  const cell = { value: 9 };
  const text = asText(cell, () => Math.min(cell.value, 2));
  expect(text.value).toBe("2");
  text.value = "1";
  expect([cell.value, text.value]).toEqual([1, "1"]);
});

test("numbers by name are read back; a name without a number is not read", () => {
  const field = recordField(2);
  const values = { gamma: 0.5, _w2: -1e-7 };
  expect(field.read(field.write(values))).toEqual(values);
  for (const text of ["", "gamma", "gamma~", "gamma~x", "gamma~1.2.3", "<b>~1", "a~1~b~2~c~3"]) {
    expect(field.read(text)).toBeUndefined();
  }
});
