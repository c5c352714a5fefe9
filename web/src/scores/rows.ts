// Rows of scores, one for each image: in the address, and their limits. Pure functions.
import { type Field, numbersField } from "../fields";

/** Rows of the same length, 2 to 10 scores each, separated by `~`; 1 to 10 of them. */
export const rowsField = (start: number[][]): Field<number[][]> => {
  const row = numbersField([], 10);
  return {
    start,
    write: (rows) => rows.map(row.write).join("~"),
    read: (text) => {
      const rows = text.split("~").map(row.read);
      const K = rows[0]?.length ?? 0;
      return K >= 2 && rows.length <= 10 && rows.every((r) => r?.length === K) ? (rows as number[][]) : undefined;
    },
  };
};

/** A score as it is kept: three decimals, within ±10000. */
export const limited = (value: number): number => Math.min(10000, Math.max(-10000, Math.round(value * 1000) / 1000));

/** Half the height of the bars: a round number, with room for the figure beyond the end of the longest bar. */
export function spanOf(rows: readonly (readonly number[])[]): number {
  const size = Math.max(...rows.flat().map(Math.abs), 4);
  return (
    [5, 8, 10, 12, 16, 20, 40, 80, 120, 200, 400, 800, 1600, 4000, 8000, 12000].find((high) => high >= 1.1 * size) ??
    12000
  );
}

/** Labels of all rows, each a class that is there, whatever an address holds. */
export const labelsOf = (rows: readonly (readonly number[])[], labels: readonly number[]): number[] =>
  rows.map((row, n) => Math.min(Math.max(0, Math.round(labels[n] ?? 0)), row.length - 1));

/** A name of at most so many characters, but for four that always have room; what is cut is marked. */
export const shortened = (text: string, most: number): string =>
  text.length <= Math.max(4, most) ? text : `${text.slice(0, Math.max(3, most - 1))}…`;
