// The guided path: the step of the lecture that is open, above the page that it is about.
import { signal } from "@preact/signals";
import { closeStep } from "../route";
import { addressOf, current, go, number, predict, predictions, revealed } from "./state";
import { STEPS } from "./steps";
import "./lesson.css";

const copied = signal("");

export function Lesson() {
  const shown = current.value;
  if (!shown) return null;
  const n = number.value;
  return (
    <section class="lesson" aria-label="The lecture, step by step">
      <div class="lesson-head">
        <Turn to={n - 1} words="Previous step" sign="‹" />
        <select
          class="lesson-choice"
          aria-label="Step"
          value={n}
          onChange={(event) => go(Number(event.currentTarget.value))}
        >
          {STEPS.map((entry, i) => (
            <option value={i + 1}>
              {i + 1}. {entry.title}
            </option>
          ))}
        </select>
        <Turn to={n + 1} words="Next step" sign="›" />
        <span class="muted lesson-count">
          {n} of {STEPS.length}
        </span>
        <button type="button" class="quiet" onClick={() => go(n)}>
          Start over
        </button>
        <button type="button" class="quiet" onClick={copy}>
          Copy the link
        </button>
        <button type="button" class="quiet" onClick={closeStep}>
          Close
        </button>
        <span class="muted" role="status">
          {copied.value}
        </span>
      </div>
      <p class="lesson-look">{shown.look}</p>
      <div class="lesson-ask">
        <label>
          <b>{shown.question}</b>
          <input
            type="text"
            maxLength={300}
            placeholder="Your prediction"
            value={predictions.value[n] ?? ""}
            onInput={(event) => predict(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key === "Enter") revealed.value = true;
            }}
          />
        </label>
        {!revealed.value && (
          <button type="button" onClick={() => (revealed.value = true)}>
            Show the answer
          </button>
        )}
        <p class="lesson-answer" aria-live="polite">
          {revealed.value && shown.answer}
        </p>
      </div>
    </section>
  );
}

function Turn({ to, words, sign }: { to: number; words: string; sign: string }) {
  const there = to >= 1 && to <= STEPS.length;
  return (
    <button type="button" class="quiet" aria-label={words} disabled={!there} onClick={() => go(to)}>
      {sign}
    </button>
  );
}

/** Put the address of the page as it is now, step and state, into the clipboard. */
async function copy() {
  try {
    await navigator.clipboard.writeText(location.href);
    copied.value = "copied";
  } catch {
    // over the network, without encryption, a page has no clipboard: a selected text can still be copied
    copied.value = copySelected(location.href) ? "copied" : "copy it from the address bar";
  }
  setTimeout(() => {
    copied.value = "";
  }, 3000);
}

function copySelected(text: string): boolean {
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}

/** In the menu: opens the path where it was, or at its first step. */
export function LessonLink() {
  const n = number.value;
  return (
    <a href={addressOf(n || 1)} class="lesson-link" aria-current={n ? "step" : undefined}>
      Lecture, step by step
    </a>
  );
}
