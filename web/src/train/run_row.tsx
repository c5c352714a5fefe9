// A row of the table of runs.
import { shortName } from "../names";
import type { BrokenRun, RunShown } from "../protocol";
import { Button } from "../ui/controls";
import { percentText, shown } from "../ui/numbers";
import { RunLinks, resume } from "./actions";
import { busy, job, runsFailure } from "./live";
import { chosenRuns, state } from "./state";

/** Runs that are compared at most: curves.tsx has as many dashes of lines. */
const MOST_COMPARED = 8;

const percent = (value: number | null | undefined) => (value === null || value === undefined ? "" : percentText(value));

const source = (one: RunShown) => one.source.split("/").at(-1) ?? "";

function toggle(name: string): void {
  const left = chosenRuns.value.filter((one) => one !== name);
  state.runs.value = (left.length < chosenRuns.value.length ? left : [...left, name].slice(-MOST_COMPARED)).join("/");
}

export function RunRow({ one }: { one: RunShown }) {
  const reg = one.reg ?? one.result?.reg ?? null; // of a sweep the value that it chose
  return (
    <tr class={chosenRuns.value.includes(one.run) ? "chosen" : ""}>
      <th scope="row">{one.run}</th>
      <td>
        <input
          type="checkbox"
          aria-label={`Compare ${one.run}`}
          checked={chosenRuns.value.includes(one.run)}
          onChange={() => toggle(one.run)}
          disabled={one.kind !== "train"}
        />
      </td>
      <td class="what">
        {source(one)}, {one.features}: {shortName(one.loss)} + {shortName(one.penalty)}
        {reg !== null && one.penalty !== "none" ? ` ${shown(reg)}` : ""},{" "}
        {one.kind === "train" ? shortName(one.optimizer) : one.kind}
        {one.result?.notes.map((note) => (
          <small class="note">Note: {note}</small>
        ))}
      </td>
      <td>{one.result?.texts.objective}</td>
      <td>{one.result?.texts.relative_gap}</td>
      <td>{percent(one.result?.train_accuracy)}</td>
      <td>{percent(one.result?.validation_accuracy)}</td>
      <td>
        <b>{percent(one.result?.test_accuracy)}</b>
      </td>
      <td>{one.result ? shown(one.result.seconds, 3) : ""}</td>
      <td>
        {one.result?.texts.status ?? (job.value?.running && job.value.run === one.run ? "running" : "not finished")}
      </td>
      <td class="actions">
        <span class="row">
          {!one.finished && one.kind === "train" && !(busy.value && job.value?.run === one.run) && (
            <>
              <Button
                label={`Resume ${one.run}`}
                disabled={busy.value}
                onClick={() => resume(one.run, false, runsFailure)}
              >
                Resume
              </Button>
              <Button
                label={`Keep what ${one.run} reached`}
                disabled={busy.value}
                onClick={() => resume(one.run, true, runsFailure)}
              >
                Keep
              </Button>
            </>
          )}
          <RunLinks run={one.run} />
        </span>
      </td>
    </tr>
  );
}

/** A run folder that cannot be read, and why. */
export function BrokenRow({ one }: { one: BrokenRun }) {
  return (
    <tr>
      <th scope="row">{one.run}</th>
      <td colSpan={10} class="what wrapped">
        {one.error}
      </td>
    </tr>
  );
}
