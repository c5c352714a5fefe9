// The panel "Runs": the table of the runs in the folder, and their curves compared.
import { batch, useSignalEffect } from "@preact/signals";
import { shortName } from "../names";
import type { RunShown } from "../protocol";
import { connections, request, say } from "../socket";
import { Button, Failure, Panel, Select } from "../ui/controls";
import { shown } from "../ui/numbers";
import { Scroll } from "../ui/scroll";
import { RunLinks, resume } from "./actions";
import { Curves } from "./curves";
import { busy, folder, job, runs, runsFailure, traces } from "./live";
import { column, unitsOf } from "./rows";
import { AXES, COMPARED, chosenRuns, state } from "./state";

export function RunsPanel() {
  useSignalEffect(() => {
    void connections.value;
    // a resumed run has a longer trace
    const known = new Set(runs.value.filter((one) => !("error" in one)).map((one) => one.run));
    const wanted = chosenRuns.value.filter((name) => known.has(name)).join("/");
    if (!wanted) {
      traces.value = {};
      return undefined;
    }
    return request(
      "train.traces",
      { runs: wanted },
      (found) => {
        batch(() => {
          traces.value = found;
          runsFailure.value = "";
        });
      },
      say(runsFailure),
    );
  });
  const percent = (value: number | null | undefined) =>
    value === null || value === undefined ? "" : `${(100 * value).toFixed(2)}%`;
  const missing = runs.value.length
    ? chosenRuns.value.filter((name) => !runs.value.some((one) => one.run === name))
    : [];
  const compared = chosenRuns.value.filter((name) => (traces.value[name]?.length ?? 0) > 0);
  const counted = unitsOf(
    runs.value.flatMap((one) => ("error" in one || !compared.includes(one.run) ? [] : [one.optimizer])),
  );
  const over = state.x.value === "epoch" ? counted : (AXES.find(([key]) => key === state.x.value)?.[1] ?? "");
  const toggle = (name: string) => {
    const left = chosenRuns.value.filter((one) => one !== name);
    state.runs.value = (left.length < chosenRuns.value.length ? left : [...left, name].slice(-8)).join("/");
  };
  const source = (one: RunShown) => one.source.split("/").at(-1) ?? "";
  return (
    <Panel
      title="Runs"
      help={
        <>
          The runs in the folder <code>{folder.value}</code>. Check some to compare their curves.
        </>
      }
      name="runs"
      wide
    >
      <Failure message={runsFailure} />
      {runs.value.length === 0 ? (
        <p class="muted">
          No run yet. Runs of <code>linprobe train</code> appear here, too.
        </p>
      ) : (
        <Scroll label="Table of runs">
          <table>
            <thead>
              <tr>
                <th scope="col">run</th>
                <th scope="col">compare</th>
                <th scope="col" class="what">
                  trained on
                </th>
                <th scope="col">objective</th>
                <th scope="col">gap</th>
                <th scope="col">train</th>
                <th scope="col">validation</th>
                <th scope="col">test</th>
                <th scope="col">seconds</th>
                <th scope="col">status</th>
                <th scope="col" class="actions">
                  then
                </th>
              </tr>
            </thead>
            <tbody>
              {runs.value.map((one) =>
                "error" in one ? (
                  <tr>
                    <th scope="row">{one.run}</th>
                    <td colSpan={10} class="what wrapped">
                      {one.error}
                    </td>
                  </tr>
                ) : (
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
                      {one.reg !== null && one.penalty !== "none" ? ` ${shown(one.reg)}` : ""},{" "}
                      {one.kind === "train" ? shortName(one.optimizer) : one.kind}
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
                      {one.result?.status ??
                        (job.value?.running && job.value.run === one.run ? "running" : "unfinished")}
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
                ),
              )}
            </tbody>
          </table>
        </Scroll>
      )}
      {missing.length > 0 && (
        <div class="row">
          <small>Chosen for comparison, but not in this folder: {missing.join(", ")}.</small>
          <Button
            onClick={() => {
              state.runs.value = chosenRuns.value.filter((name) => !missing.includes(name)).join("/");
            }}
          >
            Leave out
          </Button>
        </div>
      )}
      {compared.length > 0 && (
        <>
          <div class="row">
            <Select label="Compared by" value={state.metric} choices={COMPARED} />
          </div>
          <Curves
            title={COMPARED.find(([key]) => key === state.metric.value)?.[1] ?? ""}
            over={over}
            height={240}
            log={state.metric.value === "gradient_norm"}
            percent={state.metric.value.endsWith("accuracy")}
            series={compared.map((name, k) => ({
              name,
              k,
              x: column(traces.value[name]!, state.x.value),
              y: column(traces.value[name]!, state.metric.value),
            }))}
          />
        </>
      )}
    </Panel>
  );
}
