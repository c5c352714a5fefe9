// How the choices that the server sends are named in the controls; pure functions, without the socket.

/** What a parameter is: linprobe.parameters.Parameter, as JSON. */
export interface Parameter {
  name: string;
  default: unknown;
  meaning: string;
  kind: "number" | "whole" | "flag" | "text";
  low: number | null;
  high: number | null;
  open_low: boolean;
}

/** A choice: linprobe.choices.Choice, as JSON. */
export interface Named {
  name: string;
  title: string;
  formula: string;
  meaning: string;
  parameters: Parameter[];
}

/** The kinds of linprobe.choices.KINDS. */
export type Kind =
  | "loss"
  | "penalty"
  | "optimizer"
  | "update"
  | "schedule"
  | "preprocess"
  | "engine"
  | "features"
  | "pooling"
  | "challenge";

export type Table = Partial<Record<Kind, readonly Named[]>>;

/** A name for a narrow control: an abbreviation in capitals, else words: "SGD", "squared hinge". */
export const shortName = (name: string): string =>
  /^[a-z]+\d?$/.test(name) && name.length <= 3 ? name.toUpperCase() : name.replaceAll("-", " ");

/** A choice on one line of a list, with the right side of its formula or its meaning: "L2: Σ W²". */
export function lineOf({ title, formula, meaning }: Named): string {
  const right = formula.split(" = ").slice(1).join(" = ").replaceAll("^2", "²");
  const about = right === "0" ? "" : right || meaning;
  return about ? `${title}: ${about}` : title;
}

/** The entries of a control; a name that the table does not have is listed too: the address requests it. */
export function entries(
  known: readonly Named[] | undefined,
  now: string,
  text: (one: Named) => string,
): (readonly [string, string])[] {
  const found = (known ?? []).map((one) => [one.name, text(one)] as const);
  if (found.some(([name]) => name === now)) return found;
  return [[now, known ? `${now} (not here)` : shortName(now)], ...found];
}
