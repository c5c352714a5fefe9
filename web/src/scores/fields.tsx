// The panel "Scores": the bars, and a field for each score.
import { ClassMark } from "../classes";
import { Button, NumberField, Panel } from "../ui/controls";
import { Scroll } from "../ui/scroll";
import { Bars } from "./bars";
import { addClass, K, label, labels, name, removeClass, row, scores, setLabel, setScore, state } from "./state";

export function ScorePanel() {
  return (
    <Panel title="Scores" help="Arrow keys move a bar by 0.1, with Shift by 1.">
      {state.s.value.length > 1 && (
        <div class="row" role="group" aria-label="Image">
          {state.s.value.map((_, n) => (
            <Button
              pressed={n === row.value}
              onClick={() => {
                state.i.value = n;
              }}
            >
              image {n + 1}: {name(labels.value[n]!)}
            </Button>
          ))}
        </div>
      )}
      <Bars />
      <Scroll label="Table of the scores">
        <table class="score-fields">
          <thead>
            <tr>
              <th>class</th>
              <th>score</th>
              <th>right class, y</th>
            </tr>
          </thead>
          <tbody>
            {scores.value.map((s, k) => (
              <tr class={k === label.value ? "label-row" : ""}>
                <th scope="row">
                  <ClassMark k={k} /> {name(k)}
                </th>
                <td>
                  <NumberField value={s} set={(value) => setScore(k, value)} words={`score of ${name(k)}`} />
                </td>
                <td>
                  <input
                    type="radio"
                    name="label"
                    checked={k === label.value}
                    aria-label={`${name(k)} is the right class`}
                    onChange={() => setLabel(k)}
                  />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      <div class="row">
        <Button onClick={addClass} disabled={K.value >= 10}>
          Add a class
        </Button>
        <Button onClick={removeClass} disabled={K.value <= 2}>
          Remove the last
        </Button>
      </div>
    </Panel>
  );
}
