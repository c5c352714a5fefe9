// The panel "As one score moves": the losses over one score.
import { asText } from "../fields";
import type { Explained } from "../protocol";
import { Chart } from "../ui/chart";
import { Formula, Panel, Select, Slider } from "../ui/controls";
import { LOSSES } from "./examples";
import { moved, name, scale, scores, setScore, state } from "./state";

/** Share of the chart's height up to which a line is drawn. */
const HEADROOM = 1.02;

export function Curves({ result }: { result: Explained }) {
  const top = Math.max(4, Math.max(...result.curve.hinge), Math.max(...result.curve.softmax));
  const above = LOSSES.filter(([loss]) => Math.min(...result.curve[loss]) > top * HEADROOM).map(([, title]) => title);
  return (
    <Panel
      title="As one score moves"
      help="The losses while the other scores stay. Press or drag in the chart to move the score."
    >
      <Select
        label="score of"
        value={asText(state.m, () => moved.value)}
        choices={scores.value.map((_, k) => [String(k), name(k)] as const)}
      />
      <Chart
        lines={LOSSES.map(([loss, title, color, dash]) => ({
          name: title,
          color,
          ...(dash && { dash }),
          x: result.curve.scores,
          y: result.curve[loss].map((v) => (v > top * HEADROOM ? null : v)),
        }))}
        x={{ label: `score of ${name(moved.value)}` }}
        y={{ label: "loss", low: 0, high: top }}
        marker={scores.value[moved.value]}
        height={290}
        onPick={(x) => setScore(moved.value, Math.round(x * 10) / 10)}
        alt={`Hinge, squared hinge and softmax loss as the score of ${name(moved.value)} goes from ${-scale.value} to ${scale.value}`}
      />
      {above.length > 0 && <small>Above the chart: {above.join(", ")}.</small>}
      <Slider
        label={
          <>
            margin <Formula>Δ</Formula>
          </>
        }
        value={state.d}
        low={0.01}
        high={100}
        log
      />
      <small>
        Δ is the margin that the hinges ask for, in the unit of the scores: scaling W and Δ alike changes nothing but
        the unit.
      </small>
    </Panel>
  );
}
