// The controls that all pages share; each has a label, and works from the keyboard.
import type { ReadonlySignal, Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import { shown, typed } from "./numbers";

export function Panel({
  title,
  help,
  children,
  wide,
  name,
}: {
  title: string;
  help?: ComponentChildren;
  children: ComponentChildren;
  wide?: boolean;
  name?: string;
}) {
  const id = useId();
  return (
    <section class={`panel ${wide ? "wide" : ""} ${name ?? ""}`} aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {help && <div class="help">{help}</div>}
      {children}
    </section>
  );
}

interface NumberFieldProps {
  value: number;
  set: (value: number) => unknown;
  /** Its label. */
  words: string;
  onKeyDown?: (event: KeyboardEvent) => void;
}

/** A number that is typed; what is being typed stays while the page around it is drawn anew. */
export function NumberField({ value, set, words, onKeyDown }: NumberFieldProps) {
  const [draft, setDraft] = useState<string | undefined>(undefined);
  return (
    <input
      class="number"
      type="text"
      inputMode="decimal"
      aria-label={words}
      value={draft ?? String(value)}
      onInput={(event) => setDraft(event.currentTarget.value)}
      onBlur={() => setDraft(undefined)}
      onChange={(event) => {
        const next = typed(event.currentTarget.value);
        setDraft(undefined);
        if (next !== undefined) set(next);
      }}
      {...(onKeyDown && { onKeyDown })}
    />
  );
}

interface SliderProps {
  label: ComponentChildren;
  value: Signal<number>;
  low: number;
  high: number;
  step?: number;
  /** The slider moves in powers of ten; the value itself is what the field holds. */
  log?: boolean;
  help?: string;
  onChange?: (value: number) => void;
  disabled?: boolean;
}

/** A slider with a field: drag, press arrow keys, or type. */
export function Slider({ label, value, low, high, step, log, help, onChange, disabled }: SliderProps) {
  const id = useId();
  const whole = !log && step !== undefined && Number.isInteger(step);
  const set = (next: number | undefined) => {
    if (next === undefined) return;
    value.value = Math.min(high, Math.max(low, whole ? Math.round(next) : next));
    onChange?.(value.value);
  };
  const place = log ? Math.log10(Math.max(value.value, low)) : value.value;
  return (
    <div class="control slider">
      <label for={id} id={`${id}-label`}>
        {label}
      </label>
      <input
        id={id}
        type="range"
        disabled={disabled}
        min={log ? Math.log10(low) : low}
        max={log ? Math.log10(high) : high}
        step={log ? (step ?? 0.05) : (step ?? 0.01)}
        value={place}
        aria-valuetext={shown(value.value)}
        onInput={(event) => {
          const at = Number(event.currentTarget.value);
          set(log ? Number((10 ** at).toPrecision(3)) : at);
        }}
      />
      <input
        type="text"
        inputMode="decimal"
        class="number"
        disabled={disabled}
        aria-labelledby={`${id}-label`}
        value={shown(value.value).replaceAll("−", "-")}
        onChange={(event) => {
          set(typed(event.currentTarget.value));
          event.currentTarget.value = shown(value.value).replaceAll("−", "-");
        }}
      />
      {help && <small>{help}</small>}
    </div>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  value: { value: T };
  choices: readonly (readonly [T, string])[];
  onChange?: (value: T) => void;
  disabled?: boolean;
}

/** One of a few, all to be seen; arrow keys move. */
export function Choice<T extends string>({ label, value, choices, onChange, disabled }: ChoiceProps<T>) {
  const id = useId();
  return (
    <fieldset class="control choice" disabled={disabled}>
      <legend>{label}</legend>
      <div class="segments">
        {choices.map(([key, text]) => (
          <label>
            <input
              type="radio"
              name={id}
              checked={value.value === key}
              onChange={() => {
                value.value = key;
                onChange?.(key);
              }}
            />
            <span>{text}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** One of many, in a list that opens. */
export function Select<T extends string>({ label, value, choices, onChange, disabled }: ChoiceProps<T>) {
  const id = useId();
  return (
    <div class="control select">
      <label for={id}>{label}</label>
      <select
        id={id}
        disabled={disabled}
        value={value.value}
        onChange={(event) => {
          const key = choices[event.currentTarget.selectedIndex]?.[0];
          if (key === undefined) return;
          value.value = key;
          onChange?.(key);
        }}
      >
        {choices.map(([key, text]) => (
          <option value={key} selected={key === value.value}>
            {text}
          </option>
        ))}
      </select>
    </div>
  );
}

export function Check({
  label,
  value,
  onChange,
}: {
  label: string;
  value: Signal<boolean>;
  onChange?: (value: boolean) => void;
}) {
  return (
    <label class="control check">
      <input
        type="checkbox"
        checked={value.value}
        onChange={(event) => {
          value.value = event.currentTarget.checked;
          onChange?.(value.value);
        }}
      />
      <span>{label}</span>
    </label>
  );
}

export function Button({
  children,
  onClick,
  kind,
  disabled,
  label,
  pressed,
}: {
  children: ComponentChildren;
  onClick: () => void;
  kind?: "main" | "quiet";
  disabled?: boolean;
  label?: string;
  pressed?: boolean;
}) {
  return (
    <button
      type="button"
      class={kind ?? ""}
      onClick={onClick}
      disabled={disabled}
      aria-label={label}
      aria-pressed={pressed}
    >
      {children}
    </button>
  );
}

/** What went wrong, in the library's words; nothing while all is well. */
export function Failure({ message }: { message: ReadonlySignal<string> }) {
  return message.value ? (
    <p class="error" role="alert">
      {message.value}
    </p>
  ) : null;
}

/** Sentences on what a reader did, or found, as entries of a list of facts. */
export function Notes({ notes }: { notes: readonly string[] }) {
  return notes.map((note) => (
    <>
      <dt>note</dt>
      <dd>{note}</dd>
    </>
  ));
}

/** A formula in the text's own letters: `_j` and `_{j≠y}` are set below the line, `^2` and `^{s_j}` above it. */
export function Formula({ children }: { children: string | (string | number)[] }) {
  return <span class="formula">{set(Array.isArray(children) ? children.join("") : children)}</span>;
}

function set(text: string): ComponentChildren[] {
  const parts: ComponentChildren[] = [];
  let plain = "";
  for (let at = 0; at < text.length; at += 1) {
    const sign = text[at]!;
    if (sign !== "_" && sign !== "^") {
      plain += sign;
      continue;
    }
    let end = at + 2;
    if (text[at + 1] === "{") {
      for (let depth = 1; end < text.length && depth > 0; end += 1)
        depth += text[end] === "{" ? 1 : text[end] === "}" ? -1 : 0;
    }
    const inner = text[at + 1] === "{" ? text.slice(at + 2, end - 1) : text.slice(at + 1, end);
    parts.push(plain, sign === "_" ? <sub>{set(inner)}</sub> : <sup>{set(inner)}</sup>);
    plain = "";
    at = end - 1;
  }
  return [...parts, plain];
}

/** Text that opens on a press: what a page is about, its keys. */
export function More({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <details class="more">
      <summary>{title}</summary>
      <div>{children}</div>
    </details>
  );
}
