// The table of choices: losses, penalties, ..., which the server sends first on every connection.
import { type Signal, signal } from "@preact/signals";
import { useId } from "preact/hooks";
import { allowed, entries, lineOf, type NAMED, ownParameters, ownValues, shortName } from "./names";
import type { Choice, Events, Kind, Parameter } from "./protocol";
import { hear } from "./socket";
import { Formula } from "./ui/controls";
import { typed } from "./ui/numbers";

const table = signal<Partial<Events["choices"]>>({});
hear("choices", (sent) => {
  table.value = sent;
});

const found = (kind: Kind, name: string): Choice | undefined => table.value[kind]?.find((one) => one.name === name);

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

type Own = Readonly<Record<string, number>>;

/** The own parameters of the chosen loss or penalty as a request holds them; undefined where all keep their defaults. */
export const ownOptions = (kind: keyof typeof NAMED, name: string, values: Own) =>
  ownValues(ownParameters(kind, found(kind, name)), values);

/** A control for each parameter of the chosen loss or penalty that the page has no slider for. */
export function OwnParameters({ kind, name, values }: { kind: keyof typeof NAMED; name: string; values: Signal<Own> }) {
  return ownParameters(kind, found(kind, name)).map((about) => (
    <OwnField key={about.name} about={about} values={values} />
  ));
}

function OwnField({ about, values }: { about: Parameter; values: Signal<Own> }) {
  const id = useId();
  const set = (value: number) => {
    values.value = { ...values.value, [about.name]: value };
  };
  const now = values.value[about.name] ?? Number(about.default);
  if (about.kind === "flag") {
    return (
      <label class="control check">
        <input type="checkbox" checked={now !== 0} onChange={(event) => set(event.currentTarget.checked ? 1 : 0)} />
        {about.name}
        <small>{about.meaning}</small>
      </label>
    );
  }
  return (
    <div class="control field">
      <label for={id}>{about.name}</label>
      <input
        id={id}
        class="number"
        type="text"
        inputMode="decimal"
        value={now}
        onChange={(event) => {
          const wanted = typed(event.currentTarget.value);
          if (wanted !== undefined && allowed(about, wanted)) set(wanted);
          event.currentTarget.value = String(values.value[about.name] ?? about.default);
        }}
      />
      <small>{about.meaning}</small>
    </div>
  );
}
