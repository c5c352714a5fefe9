// Which page is shown, and its state, both in the address: #/<page>?<state>.
import { computed, effect, type Signal, signal } from "@preact/signals";
import type { Field } from "./fields";
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

// biome-ignore lint/suspicious/noExplicitAny: a field both reads and writes its type, so no other type fits all
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
