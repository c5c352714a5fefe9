// The panel "Every point": the scores, margin and loss of each.
import { Component } from "preact";
import { ClassMark } from "../classes";
import { Formula, Panel } from "../ui/controls";
import { fixed } from "../ui/numbers";
import { Scroll } from "../ui/scroll";
import { seen, seenPoints } from "./look";
import type { Point } from "./points";
import { selected } from "./state";

export function Table() {
  const look = seen.value;
  // the points that the scores belong to: while one is dragged, those of a moment ago
  const of = seenPoints.value;
  return (
    <Panel
      title="Every point"
      name="points-panel"
      help={
        <>
          margin: <Formula>{"s_y − max_{j ≠ y} s_j"}</Formula>, above 0 where the point is classified correctly. Press a
          row to choose its point.
        </>
      }
    >
      <Scroll label="Table of the points" tall>
        <table aria-label="points">
          <thead>
            <tr>
              <th>point</th>
              <th>class y</th>
              <th>
                <Formula>x_1</Formula>
              </th>
              <th>
                <Formula>x_2</Formula>
              </th>
              {look?.scores[0]?.map((_, k) => (
                <th>
                  <Formula>{`s_${k}`}</Formula>
                </th>
              ))}
              <th>margin</th>
              <th>
                loss <Formula>L_i</Formula>
              </th>
              <th>predicted</th>
            </tr>
          </thead>
          <tbody>
            {look &&
              of.map((point, i) => (
                <Row
                  key={i}
                  i={i}
                  point={point}
                  scores={look.scores[i]!}
                  margin={look.margins[i]!}
                  loss={look.losses[i]!}
                  predicted={look.predicted[i]!}
                  chosen={i === selected.value}
                />
              ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">mean</th>
              <td colSpan={4 + (look?.scores[0]?.length ?? 0)} />
              <td>{fixed(look?.data_loss, 3)}</td>
              <td />
            </tr>
          </tfoot>
        </table>
      </Scroll>
    </Panel>
  );
}

interface RowProps {
  i: number;
  point: Point;
  scores: number[];
  margin: number;
  loss: number;
  predicted: number;
  chosen: boolean;
}

/** A row; it is drawn again when one of its numbers has changed. */
class Row extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    const before = this.props;
    return (
      next.point !== before.point ||
      next.margin !== before.margin ||
      next.loss !== before.loss ||
      next.chosen !== before.chosen ||
      next.predicted !== before.predicted ||
      next.scores.length !== before.scores.length ||
      next.scores.some((s, k) => s !== before.scores[k])
    );
  }

  render({ i, point, scores, margin, loss, predicted, chosen }: RowProps) {
    return (
      <tr
        class={chosen ? "chosen" : ""}
        onClick={() => {
          selected.value = i;
        }}
      >
        <th scope="row">{i + 1}</th>
        <td>
          <ClassMark k={point.label} /> {point.label}
        </td>
        <td>{fixed(point.x)}</td>
        <td>{fixed(point.y)}</td>
        {scores.map((s) => (
          <td>{fixed(s)}</td>
        ))}
        <td>{fixed(margin)}</td>
        <td>
          <b>{fixed(loss, 3)}</b>
        </td>
        <td>
          {predicted === point.label ? "✓" : "✗"} {predicted}
        </td>
      </tr>
    );
  }
}
