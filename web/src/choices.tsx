// The table of choices: losses, penalties, ..., which the server sends first on every connection.
import { signal } from "@preact/signals";
import { entries, type Kind, lineOf, type Named, shortName, type Table } from "./names";
import { hear } from "./socket";
import { Formula } from "./ui/controls";

const table = signal<Table>({});
hear<Table>("choices", (sent) => {
  table.value = sent;
});

const found = (kind: Kind, name: string): Named | undefined => table.value[kind]?.find((one) => one.name === name);

/** For a control that shows all of them: short names. */
export const shortEntries = (kind: Kind, now: string) => entries(table.value[kind], now, (one) => shortName(one.name));

/** For a list: titles. */
export const titleEntries = (kind: Kind, now: string) => entries(table.value[kind], now, (one) => one.title);

/** For a list with room: titles, and what each computes. */
export const lineEntries = (kind: Kind, now: string) => entries(table.value[kind], now, lineOf);

/** Whether the choice has the parameter. */
export const takes = (kind: Kind, name: string, parameter: string): boolean =>
  found(kind, name)?.parameters.some((one) => one.name === parameter) ?? false;

const NOTES: Partial<Record<Kind, string>> = {
  schedule: "; p is the share of the run that is done, f = 0.01.",
  update: "; g is the gradient of the mini-batch.",
};

/** What a choice computes: its formula, with a note on its letters, or its meaning in words. */
export function Explained({ kind, name }: { kind: Kind; name: string }) {
  const one = found(kind, name);
  if (!one) return null;
  if (!one.formula) return one.meaning ? <small>{one.meaning}</small> : null;
  return (
    <small>
      <Formula>{one.formula}</Formula>
      {NOTES[kind]}
    </small>
  );
}
