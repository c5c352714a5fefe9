// Scores to loss: one row of scores, and how each loss makes its number of it.
import { signal, useSignalEffect } from "@preact/signals";
import { linked, numbersField, wholeField } from "../route";
import { connections, stream } from "../socket";
import { Failure, Panel, shown } from "../ui/controls";

const state = linked("scores", { s: numbersField([3.2, 5.1, -1.7], 10), y: wholeField(0, 0, 9) });
const losses = signal<Record<string, number>>({});
const failure = signal("");

const ask = stream<{ losses: Record<string, number> }>(
  "scores.explain",
  (result) => {
    losses.value = result.losses;
    failure.value = "";
  },
  (error) => {
    failure.value = error.message;
  },
);

export default function Scores() {
  useSignalEffect(() => {
    void connections.value;
    ask({ scores: state.s.value, y: [state.y.value] });
  });
  return (
    <Panel title="Losses">
      <Failure message={failure} />
      <dl>
        {Object.entries(losses.value).map(([name, loss]) => (
          <>
            <dt>{name}</dt>
            <dd>{shown(loss)}</dd>
          </>
        ))}
      </dl>
    </Panel>
  );
}
