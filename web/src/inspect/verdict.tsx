// The panel "Picture": the picture as it is and as the model sees it, and the class that it is given.
import { Button, Failure, Panel } from "../ui/controls";
import { shown } from "../ui/numbers";
import { className, found, lookFailure, opened } from "./live";
import { Shown } from "./picture";
import { choose, severities, state } from "./state";

export function VerdictPanel() {
  const now = found.value;
  const subject = opened.value;
  if (!subject?.shape) return null;
  if (!now)
    return (
      <Panel title="Picture">
        <Failure message={lookFailure} />
        <p class="muted">{subject.n_test ? "looking ..." : "Drop a picture of your own to ask this model about it."}</p>
      </Panel>
    );
  const right = now.label === now.found;
  const steps = !state.own.value && subject.n_test > 1;
  return (
    <Panel title="Picture">
      <Failure message={lookFailure} />
      <p class="answer" role="status" data-test="verdict">
        {now.label === null ? (
          <>
            taken for <b>{className(now.found)}</b>
          </>
        ) : (
          <>
            {className(now.label)}:{" "}
            <span class={right ? "hit" : "miss"}>
              {right ? (
                "✓ classified right"
              ) : (
                <>
                  ✗ taken for <b>{className(now.found)}</b>
                </>
              )}
            </span>
          </>
        )}
        {now.before !== now.found && <span class="muted">; without the challenges {className(now.before)}</span>}
      </p>
      <div class="pictures">
        <figure>
          <Shown picture={now.original} label={`${now.name} as it is`} />
          <figcaption>{now.name}</figcaption>
        </figure>
        <figure>
          <Shown picture={now.picture} label="the picture that the model sees, challenged" />
          <figcaption>
            {Object.keys(severities.value).length
              ? `challenged${now.stand_in === null ? "" : `; test image ${now.stand_in} stands in`}`
              : "no challenge yet"}
          </figcaption>
        </figure>
      </div>
      {now.loss !== null && (
        <p class="help">
          its {subject.loss} loss: <b data-test="loss">{shown(now.loss, 5)}</b>
        </p>
      )}
      {steps && (
        <div class="row">
          <Button onClick={() => choose(Math.max(0, state.index.value - 1))} disabled={state.index.value === 0}>
            Previous image
          </Button>
          <Button
            onClick={() => choose(Math.min(subject.n_test - 1, state.index.value + 1))}
            disabled={state.index.value >= subject.n_test - 1}
          >
            Next image
          </Button>
        </div>
      )}
    </Panel>
  );
}
