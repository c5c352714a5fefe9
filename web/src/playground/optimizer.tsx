// The panel "Optimizer": its settings, its buttons, and how the walk goes.
import { Explained, takes, titleEntries } from "../choices";
import { Chart } from "../ui/chart";
import { Button, Check, Choice, Formula, Panel, Select, Slider } from "../ui/controls";
import { shown } from "../ui/numbers";
import { type Method, points, running, state } from "./state";
import { advance, endWalk, resetWalk, run, type Walk, walked } from "./walk";

const METHODS: readonly (readonly [Method, string])[] = [
  ["gd", "GD"],
  ["sgd", "SGD"],
  ["exact", "exact"],
];

const counted = (n: number, what: string) => `${n} ${what}${n === 1 ? "" : "s"}`;

export function Optimizer() {
  const method = state.opt.value;
  const walk = walked.value;
  const certificate = walk?.certificate;
  return (
    <Panel title="Optimizer">
      <Choice label="method" value={state.opt} choices={METHODS} onChange={endWalk} />
      {method === "gd" && (
        <small>
          <Formula>{"W ← W − η ∂L/∂W"}</Formula>, over all points.
        </small>
      )}
      {method === "sgd" && (
        <small>
          The same with the gradient of a few points at a time; a step is one mini-batch, an epoch all of them.
        </small>
      )}
      {method === "exact" && (
        <small>The minimum, with a proof of how near it is: a lower bound that no weights can go below.</small>
      )}
      {method !== "exact" && (
        <>
          <Check label="learning rate η chosen by linprobe" value={state.auto} onChange={endWalk} />
          {!state.auto.value && (
            <Slider label="learning rate, η" value={state.rate} low={1e-4} high={100} log onChange={endWalk} />
          )}
        </>
      )}
      {method === "gd" && <Check label="backtracking line search" value={state.search} onChange={endWalk} />}
      {method === "sgd" && <SgdSettings />}
      <Buttons />
      <Progress walk={walk} />
      {certificate && (
        <p class="small" data-value="certificate">
          {certificate.words}.
        </p>
      )}
      {walk && walk.objective.length > 1 && (
        <Chart
          lines={[
            {
              name: "L after each step",
              color: "var(--class-0)",
              x: walk.objective.map((_, i) => i),
              y: walk.objective,
            },
          ]}
          x={{ label: walk.method === "exact" ? "iterate" : "step" }}
          y={{ label: "L" }}
          height={150}
          alt={`Objective over ${walk.objective.length - 1} steps, now ${shown(walk.objective.at(-1))}`}
        />
      )}
    </Panel>
  );
}

function SgdSettings() {
  return (
    <>
      <Slider
        label="batch size"
        value={state.batch}
        low={1}
        high={points.value.length || 1}
        step={1}
        onChange={endWalk}
      />
      <Slider label="epochs" value={state.epochs} low={1} high={200} step={1} onChange={endWalk} />
      <Select
        label="schedule"
        value={state.schedule}
        choices={titleEntries("schedule", state.schedule.value)}
        onChange={endWalk}
      />
      <Explained kind="schedule" name={state.schedule.value} />
      <Select
        label="update"
        value={state.update}
        choices={titleEntries("update", state.update.value)}
        onChange={endWalk}
      />
      <Explained kind="update" name={state.update.value} />
      {takes("update", state.update.value, "momentum") && (
        <Slider label="momentum, μ" value={state.momentum} low={0} high={0.99} step={0.01} onChange={endWalk} />
      )}
      <Slider label="seed of the order" value={state.order} low={0} high={50} step={1} onChange={endWalk} />
    </>
  );
}

function Buttons() {
  const walk = walked.value;
  const none = !points.value.length; // a walk that began before the points are there would end when they come
  return (
    <div class="row">
      {state.opt.value === "exact" ? (
        <Button
          kind="main"
          onClick={() => {
            endWalk();
            void advance(1);
          }}
          disabled={none}
        >
          Solve
        </Button>
      ) : (
        <>
          <Button kind="main" onClick={() => void run()} disabled={none || (!running.value && !!walk?.status)}>
            {running.value ? "Pause" : "Run"}
          </Button>
          <Button onClick={() => void advance(1)} disabled={none || running.value || !!walk?.status}>
            Step
          </Button>
          <Button onClick={() => void advance(10)} disabled={none || running.value || !!walk?.status}>
            10 steps
          </Button>
        </>
      )}
      <Button onClick={resetWalk} disabled={!walk}>
        Reset
      </Button>
    </div>
  );
}

function Progress({ walk }: { walk: Walk | undefined }) {
  return (
    <p class="small" role="status">
      {walk ? (
        <>
          {counted(walk.W.length - 1, walk.method === "exact" ? "iterate" : "step")}
          {walk.method === "sgd" && `, ${shown(walk.epoch, 3)} epochs`}
          {walk.rate !== null && <>, η = {shown(walk.rate, 3)}</>}
          {walk.status && <>: {walk.status}</>}
        </>
      ) : (
        <span class="muted">From the weights that are shown.</span>
      )}
    </p>
  );
}
