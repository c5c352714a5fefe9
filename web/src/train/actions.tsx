// What can be done with a run: resume it, open or make its report, inspect it.

import type { RunShown } from "../protocol";
import { call, say } from "../socket";
import { Button } from "../ui/controls";
import { refreshRuns } from "./events";
import { liveFailure, reports, runs, runsFailure } from "./live";

/** Resume a run, or with `finish` keep what it reached; an error is shown where the button is. */
export function resume(run: string, finish: boolean, said = liveFailure): void {
  liveFailure.value = runsFailure.value = "";
  call("train.resume", { run, finish }).then(() => refreshRuns(), say(said));
}

export function RunLinks({ run }: { run: string }) {
  const found = runs.value.find((one): one is RunShown => one.run === run && !("error" in one));
  return (
    <>
      {found?.has_report ? (
        <a
          href={`train/report/${encodeURIComponent(run)}`}
          target="_blank"
          rel="noopener"
          aria-label={`Report of ${run}`}
        >
          Report
        </a>
      ) : (
        reports.value &&
        found?.finished && (
          <Button
            label={`Make the report of ${run}`}
            onClick={() => {
              runsFailure.value = "";
              call("train.report", { run }).then(refreshRuns, say(runsFailure));
            }}
          >
            Make report
          </Button>
        )
      )}
      {found?.has_model && (
        <a href={`#/inspect?run=${encodeURIComponent(run)}`} aria-label={`Inspect ${run}`}>
          Inspect
        </a>
      )}
    </>
  );
}
