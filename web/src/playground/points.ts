// Points of the plane: in the address, and kept in its range. Pure functions.
import type { Field } from "../fields";

export interface Point {
  x: number;
  y: number;
  label: number;
}

/** Points that a plane may hold. */
export const MOST_POINTS = 400;
/** Classes that a plane may hold. */
export const MOST_CLASSES = 6;

/** Points moved by hand: x_y_label in thousandths; empty while they are those of the set. */
export const pointsField: Field<Point[] | undefined> = {
  start: undefined,
  write: (points) =>
    points?.map((p) => `${Math.round(p.x * 1000)}_${Math.round(p.y * 1000)}_${p.label}`).join("~") ?? "",
  read: (text) => {
    const found = text.split("~").map((part) => part.split("_").map(Number));
    if (
      found.length < 1 ||
      found.length > MOST_POINTS ||
      !found.every((p) => p.length === 3 && p.every(Number.isInteger))
    )
      return undefined;
    return found.map(([x, y, label]) => ({
      x: x! / 1000,
      y: y! / 1000,
      label: Math.min(MOST_CLASSES - 1, Math.max(0, label!)),
    }));
  },
};

const thousandths = (value: number): number => Math.round(value * 1000) / 1000;

/** The point at a place, within the square of that half side. */
export const placed = (point: Point, x: number, y: number, half: number): Point => {
  const keep = (value: number) => thousandths(Math.min(half, Math.max(-half, value)));
  return { ...point, x: keep(x), y: keep(y) };
};

/** A new point, wherever it is. */
export const pointAt = (x: number, y: number, label: number): Point => ({
  x: thousandths(x),
  y: thousandths(y),
  label,
});

const LARGEST = 999;
/** A weight as the address keeps it: so many decimals, within ±999. */
export const tidy = (value: number, digits: number): number =>
  Math.min(LARGEST, Math.max(-LARGEST, Number(value.toFixed(digits))));

/** Letters of the name of a class. */
export const MOST_LETTERS = 24;

/** Names that the classes were given: name~name~...; an empty one is none. */
export const classNamesField: Field<readonly string[]> = {
  start: [],
  write: (names) => names.join("~").replace(/~+$/, ""),
  read: (text) => {
    const names = text === "" ? [] : text.split("~");
    return names.length <= MOST_CLASSES && names.every((name) => name.length <= MOST_LETTERS) ? names : undefined;
  },
};

/** The names with that of class k replaced; `~` separates names and stands in none. */
export const renamed = (names: readonly string[], k: number, name: string): string[] =>
  Array.from({ length: MOST_CLASSES }, (_, j) =>
    j === k ? name.replaceAll("~", "").trim().slice(0, MOST_LETTERS) : (names[j] ?? ""),
  );
