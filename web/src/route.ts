// Which page is shown, and its state, both in the address: #/<page>?<state>.
import { computed, effect, signal, type Signal } from "@preact/signals";
import { PAGES } from "./pages";

function parse(hash: string): { page: string; query: URLSearchParams } {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const known = PAGES.some((entry) => entry.name === path);
  return { page: known ? path : (PAGES[0]?.name ?? ""), query: new URLSearchParams(query) };
}

/** A query as it stands in the address: `~`, which separates rows, may stay as it is. */
const written = (query: URLSearchParams): string => query.toString().replaceAll("%7E", "~");

const route = signal(parse(location.hash));
export const currentPage = computed(() => route.value.page);

addEventListener("hashchange", () => {
  route.value = parse(location.hash);
});

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

type Fields = Record<string, Field<any>>;
type Signals<F extends Fields> = { [K in keyof F]: Signal<F[K]["start"]> };

const addresses = signal<Record<string, string>>({});

/** The link to a page, with the state that it was left in. */
export const address = (page: string): string => {
  const query = addresses.value[page];
  return `#/${page}${query ? `?${query}` : ""}`;
};

/**
 * The state of a page as signals, kept in step with the address: what differs from the start is written into it, and
 * an address that is opened sets all of them. Call it once, at the top of the page's module.
 */
export function linked<F extends Fields>(page: string, fields: F): Signals<F> {
  const signals = {} as Signals<F>;
  for (const name of Object.keys(fields) as (keyof F & string)[]) signals[name] = signal(fields[name]!.start);

  let last: string | undefined;
  effect(() => {
    const { page: shown, query } = route.value;
    if (shown !== page || written(query) === last) return;
    last = written(query);
    for (const name of Object.keys(fields) as (keyof F & string)[]) {
      const field = fields[name]!;
      const text = query.get(name);
      const value = (text === null ? undefined : field.read(text)) ?? field.start;
      if (field.write(value) !== field.write(signals[name]!.peek())) signals[name]!.value = value;
    }
  });

  let timer: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    const query = new URLSearchParams();
    for (const name of Object.keys(fields) as (keyof F & string)[]) {
      const field = fields[name]!;
      const text = field.write(signals[name]!.value);
      if (text !== field.write(field.start)) query.set(name, text);
    }
    // Browsers take only so many changes of the address a second: one when the hand rests.
    clearTimeout(timer);
    timer = setTimeout(() => {
      const text = written(query);
      addresses.value = { ...addresses.peek(), [page]: text };
      if (currentPage.peek() !== page) return;
      last = text;
      history.replaceState(null, "", `#/${page}${text ? `?${text}` : ""}`);
    }, 150);
  });
  return signals;
}
