// Values in the address of a page: how each is written, read back and kept in its range.

/** How a value is written into the address and read back; `read` gives undefined for what it does not understand. */
export interface Field<T> {
  start: T;
  write: (value: T) => string;
  read: (text: string) => T | undefined;
}

const short = (value: number): string => String(Number(value.toPrecision(7)));

export const numberField = (start: number, low = -1e9, high = 1e9): Field<number> => ({
  start,
  write: short,
  read: (text) => {
    const value = Number(text);
    return text.trim() !== "" && value >= low && value <= high ? value : undefined;
  },
});

export const wholeField = (start: number, low: number, high: number): Field<number> => ({
  ...numberField(start, low, high),
  read: (text) => {
    const value = Number(text);
    return Number.isInteger(value) && text.trim() !== "" && value >= low && value <= high ? value : undefined;
  },
});

export const choiceField = <T extends string>(start: T, choices: readonly T[]): Field<T> => ({
  start,
  write: (value) => value,
  read: (text) => choices.find((choice) => choice === text),
});

/** A name of the server's table of choices, which may come later than the address: the server refuses unknown ones. */
export const nameField = (start: string): Field<string> => ({
  start,
  write: (value) => value,
  read: (text) => (/^[\w+.-]{1,60}$/.test(text) ? text : undefined),
});

export const flagField = (start: boolean): Field<boolean> => ({
  start,
  write: (value) => (value ? "1" : "0"),
  read: (text) => (text === "1" ? true : text === "0" ? false : undefined),
});

export const numbersField = (start: number[], longest = 64): Field<number[]> => ({
  start,
  write: (values) => values.map(short).join("_"),
  read: (text) => {
    const values = text === "" ? [] : text.split("_").map(Number);
    return values.length <= longest && values.every(Number.isFinite) ? values : undefined;
  },
});

export const textField = (start: string): Field<string> => ({ start, write: (v) => v, read: (v) => v });

/** What a control of texts, such as a list, writes a whole number through; `now` is the number that it shows. */
export const asText = (cell: { value: number }, now: () => number = () => cell.value): { value: string } => ({
  get value() {
    return String(now());
  },
  set value(text: string) {
    cell.value = Number(text);
  },
});

/** Numbers by name, as "gamma~0.5~width~2": the parameters of a loss or penalty that no field of a page holds. */
export const recordField = (most = 32): Field<Readonly<Record<string, number>>> => ({
  start: {},
  write: (values) =>
    Object.entries(values)
      .map(([name, value]) => `${name}~${short(value)}`)
      .join("~"),
  read: (text) => {
    if (!/^(\w{1,60}~[\d.eE+-]{1,30}(~|$))+$/.test(text)) return undefined;
    const parts = text.split("~").filter(Boolean);
    const pairs = parts.flatMap((name, i) => (i % 2 ? [] : [[name, Number(parts[i + 1])] as const]));
    return pairs.length <= most && pairs.every(([, value]) => Number.isFinite(value))
      ? Object.fromEntries(pairs)
      : undefined;
  },
});
