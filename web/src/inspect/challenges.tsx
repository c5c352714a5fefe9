// The panel "The six challenges": a slider for each kind.
import { useId } from "preact/hooks";
import { Button, Panel } from "../ui/controls";
import { typed } from "../ui/numbers";
import { challenges, opened } from "./live";
import { likenessOf, meaningOf } from "./severities";
import { setSeverity, severities, state } from "./state";

function Severity({
  name,
  label,
  meaning,
  disabled,
}: {
  name: string;
  label: string;
  meaning: (value: number) => string;
  disabled?: boolean;
}) {
  const id = useId();
  const value = severities.value[name] ?? 0;
  return (
    <div class={`severity ${value ? "on" : ""}`}>
      <label for={id}>{label}</label>
      <input
        id={id}
        type="range"
        min={0}
        max={5}
        step={1}
        value={value}
        disabled={disabled}
        aria-valuetext={`severity ${value}, ${meaning(value)}`}
        onInput={(event) => setSeverity(name, Number(event.currentTarget.value))}
      />
      <output for={id}>
        {value}: {meaning(value)}
      </output>
    </div>
  );
}

export function ChallengesPanel() {
  const id = useId();
  const subject = opened.value;
  if (!subject?.shape) return null;
  const any = Object.keys(severities.value).length > 0;
  return (
    <Panel
      title="The six challenges"
      help="Severity 0..5 of each; the scores follow. What is drawn by chance, a direction or a place, hangs on the seed and the picture alone."
    >
      <div class="severities">
        {challenges.value.map((challenge) => (
          <fieldset>
            <legend>{challenge.name}</legend>
            {challenge.kinds.map((kind) => (
              <Severity name={kind.name} label={kind.name} meaning={(value) => meaningOf(kind, value)} />
            ))}
          </fieldset>
        ))}
        <fieldset>
          <legend>intraclass variation</legend>
          <Severity
            name="intraclass"
            label="another one"
            disabled={Boolean(state.own.value) || !subject.n_test}
            meaning={likenessOf}
          />
          <small>
            another test image of its class in its place, from the nearest to the furthest of five groups that look
            alike
          </small>
        </fieldset>
      </div>
      <div class="row">
        <label for={id}>
          <small>seed</small>
        </label>
        <input
          id={id}
          class="number seed"
          type="number"
          min={0}
          max={2 ** 31 - 1}
          step={1}
          value={state.seed.value}
          onChange={(event) => {
            const value = typed(event.currentTarget.value);
            if (value !== undefined) state.seed.value = Math.min(2 ** 31 - 1, Math.max(0, Math.round(value)));
            event.currentTarget.value = String(state.seed.value);
          }}
        />
        <Button
          onClick={() => {
            state.changes.value = "";
          }}
          disabled={!any}
        >
          All back to 0
        </Button>
      </div>
    </Panel>
  );
}
