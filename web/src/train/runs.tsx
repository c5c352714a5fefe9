// The panel "Runs": the table of the runs in the folder, and their curves compared.
import { batch, useSignalEffect } from "@preact/signals";
import { connections, request, say } from "../socket";
import { Button, Failure, Panel, Select } from "../ui/controls";
import { Scroll } from "../ui/scroll";
import { Curves } from "./curves";
import { folder, runs, runsFailure, traces } from "./live";
import { column, unitsOf } from "./rows";
import { BrokenRow, RunRow } from "./run_row";
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
  const missing = runs.value.length
    ? chosenRuns.value.filter((name) => !runs.value.some((one) => one.run === name))
    : [];
  const compared = chosenRuns.value.filter((name) => (traces.value[name]?.length ?? 0) > 0);
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
            <Head />
            <tbody>{runs.value.map((one) => ("error" in one ? <BrokenRow one={one} /> : <RunRow one={one} />))}</tbody>
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
      {compared.length > 0 && <Comparison compared={compared} />}
    </Panel>
  );
}

function Head() {
  return (
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
  );
}

/** The curves of the runs that are chosen. */
function Comparison({ compared }: { compared: readonly string[] }) {
  const counted = unitsOf(
    runs.value.flatMap((one) => ("error" in one || !compared.includes(one.run) ? [] : [one.optimizer])),
  );
  const over = state.x.value === "epoch" ? counted : (AXES.find(([key]) => key === state.x.value)?.[1] ?? "");
  return (
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
  );
}
