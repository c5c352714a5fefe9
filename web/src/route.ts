// Which page is shown, its state, and the step of the guided path, all in the address: #/<page>?<state>&step=<number>.
import { computed, effect, type Signal, signal } from "@preact/signals";
import type { Field } from "./fields";
import { PAGES } from "./pages";

function parse(hash: string): { page: string; query: URLSearchParams; step: number } {
  const [path = "", text = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const known = PAGES.some((entry) => entry.name === path);
  const query = new URLSearchParams(text);
  const found = Number(query.get("step"));
  query.delete("step"); // no page's own
  const step = Number.isInteger(found) && found > 0 ? found : 0;
  return { page: known ? path : (PAGES[0]?.name ?? ""), query, step };
}

/** A query as it stands in the address: `~`, which separates rows, may stay as it is. */
const written = (query: URLSearchParams): string => query.toString().replaceAll("%7E", "~");

const route = signal(parse(location.hash));
export const currentPage = computed(() => route.value.page);

/** The step of the guided path, from 1; 0 where it is closed. */
export const step = computed(() => route.value.step);

addEventListener("hashchange", () => {
  route.value = parse(location.hash);
});

/** An address with the step that is open, if one is. */
const hashOf = (page: string, query: string): string => {
  const parts = [query, step.value ? `step=${step.value}` : ""].filter(Boolean).join("&");
  return `#/${page}${parts ? `?${parts}` : ""}`;
};

/** Open an address; the one that is open already, too: its page then has the state of the address again. */
export function openAddress(hash: string): void {
  history.pushState(null, "", hash);
  route.value = parse(hash);
}

/** Close the guided path; the page stays as it is. */
export function closeStep(): void {
  const { page, query } = route.peek();
  route.value = { page, query, step: 0 };
  const text = addresses.peek()[page] ?? written(query);
  history.replaceState(null, "", hashOf(page, text));
}

// biome-ignore lint/suspicious/noExplicitAny: a field both reads and writes its type, so no other type fits all
type Fields = Record<string, Field<any>>;
type Signals<F extends Fields> = { [K in keyof F]: Signal<F[K]["start"]> };

const addresses = signal<Record<string, string>>({});

/** The link to a page, with the state that it was left in. */
export const address = (page: string): string => hashOf(page, addresses.value[page] ?? "");

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
      history.replaceState(null, "", hashOf(page, text));
    }, 150);
  });
  return signals;
}
