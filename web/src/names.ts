// How the choices that the server sends are named in the controls; pure functions, without the socket.
import type { Choice, Parameter } from "./protocol";

/** A name for a narrow control: an abbreviation in capitals, else words: "SGD", "squared hinge". */
export const shortName = (name: string): string =>
  /^[a-z]+\d?$/.test(name) && name.length <= 3 ? name.toUpperCase() : name.replaceAll("-", " ");

/** A choice on one line of a list, with the right side of its formula or its meaning: "L2: Σ W²". */
export function lineOf({ title, formula, meaning }: Choice): string {
  const right = formula.split(" = ").slice(1).join(" = ").replaceAll("^2", "²");
  const about = right === "0" ? "" : right || meaning;
  return about ? `${title}: ${about}` : title;
}

/** The entries of a control; a name that the table does not have is listed too: the address requests it. */
export function entries(
  known: readonly Choice[] | undefined,
  now: string,
  text: (one: Choice) => string,
): (readonly [string, string])[] {
  const found = (known ?? []).map((one) => [one.name, text(one)] as const);
  if (found.some(([name]) => name === now)) return found;
  return [[now, known ? `${now} (not here)` : shortName(now)], ...found];
}

/** The parameter of a loss, and of a penalty, that pages have a control for; `ownParameters` are all others. */
export const NAMED = { loss: "delta", penalty: "beta" } as const;

/** The parameters of a loss or penalty that a control is made for from the table. */
export const ownParameters = (kind: keyof typeof NAMED, one: Choice | undefined): Parameter[] =>
  one?.parameters.filter((parameter) => parameter.name !== NAMED[kind] && parameter.kind !== "text") ?? [];

/** Those of the values that are parameters of the choice, as a request holds them; undefined for none. */
export function ownValues(
  parameters: readonly Parameter[],
  values: Readonly<Record<string, number>>,
): Record<string, number | boolean> | undefined {
  const given = parameters
    .filter(({ name }) => Object.hasOwn(values, name))
    .map(({ name, kind }) => [name, kind === "flag" ? values[name] !== 0 : values[name]!] as const);
  return given.length ? Object.fromEntries(given) : undefined;
}

/** Whether a parameter may have the value. */
export const allowed = ({ kind, low, high, open_low }: Parameter, value: number): boolean =>
  (low === null || (open_low ? value > low : value >= low)) &&
  (high === null || value <= high) &&
  (kind !== "whole" || Number.isInteger(value));
