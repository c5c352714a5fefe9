// What stands under the plane: the class of the chosen point and of new ones, adding and deleting.
import { signal } from "@preact/signals";
import { useId } from "preact/hooks";
import { takes } from "../choices";
import { ClassMark } from "../classes";
import { theme } from "../theme";
import { Button, Check, Choice, Formula, Slider } from "../ui/controls";
import { percentText } from "../ui/numbers";
import { addPoint, deletePoint, relabel, setClasses } from "./edits";
import { canRedo, canUndo, redo, undo } from "./history";
import { seen, seenPoints } from "./look";
import { MOST_CLASSES, MOST_LETTERS, renamed } from "./points";
import { className, K, points, selected, state } from "./state";

export const newLabel = signal(0);
export const adding = signal(false);

/** The field in which the class of the chosen point gets a name, which stays whatever the points are. */
function ClassName() {
  const id = useId();
  const k = points.value[selected.value]?.label ?? newLabel.value;
  return (
    <div class="control select">
      <label for={id}>name of class {k}</label>
      <input
        id={id}
        type="text"
        class="plain"
        maxLength={MOST_LETTERS}
        value={className(k)}
        onChange={(event) => {
          state.names.value = renamed(state.names.value, k, event.currentTarget.value);
          event.currentTarget.value = className(k);
        }}
      />
    </div>
  );
}

export function Legend() {
  return (
    <p class="legend">
      <span>
        <svg class="mark" viewBox="-7 -7 14 14" aria-hidden="true">
          <circle class="rim" r="5" />
        </svg>
        {theme.value === "dark" ? "bright" : "dark"} rim: classified wrong{byWhom()}
      </span>
      <span>
        <svg class="mark" viewBox="-7 -7 14 14" aria-hidden="true">
          <circle class="dots" r="6" />
        </svg>
        chosen
      </span>
      {state.margins.value && takes("loss", state.loss.value, "delta") && (
        <span>
          <svg class="mark" viewBox="-7 -7 14 14" aria-hidden="true">
            <line class="margin" x1="-7" x2="7" y1="0" y2="0" />
          </svg>
          <span>
            <Formula>s_y − s_j = Δ</Formula>: beyond it the loss of class y is 0
          </span>
        </span>
      )}
      {state.opt.value === "sgd" && (
        <span>
          <svg class="mark" viewBox="-7 -7 14 14" aria-hidden="true">
            <circle r="6" />
          </svg>
          in the last mini-batch
        </span>
      )}
      {state.regions.value === "both" && <span>stripes: where the neighbours choose another class</span>}
    </p>
  );
}

/** Whose the rims are, where regions of the neighbours are shown: theirs, or of both those of the linear classifier. */
const byWhom = (): string => {
  const { vote } = seen.value ?? {};
  return state.regions.value === "knn" && vote ? ` by ${vote.k}-NN` : byScores();
};

/** Whose the accuracy beside the loss is, where regions of the neighbours are shown: always the linear classifier's. */
export const byScores = (): string =>
  state.regions.value === "knn" || state.regions.value === "both" ? " by the linear classifier" : "";

/** In the corner of the panel, in view whatever else is. */
export function Edits() {
  return (
    <div class="row edits">
      <Button onClick={undo} disabled={!canUndo.value}>
        Undo
      </Button>
      <Button onClick={redo} disabled={!canRedo.value}>
        Redo
      </Button>
    </div>
  );
}

export function Tools() {
  const chosen = points.value[selected.value];
  return (
    <div class="tools">
      <div class="row" role="group" aria-label="Class of the chosen point and of new ones">
        {Array.from({ length: K.value }, (_, k) => (
          <Button
            pressed={k === chosen?.label}
            label={className(k) === String(k) ? `class ${k}` : `${className(k)}, class ${k}`}
            onClick={() => {
              newLabel.value = k;
              if (chosen) relabel(selected.value, k);
            }}
          >
            <ClassMark k={k} /> {className(k)}
          </Button>
        ))}
        <Button onClick={() => setClasses(K.value + 1)} disabled={K.value >= MOST_CLASSES} label="one class more">
          +
        </Button>
        <Button onClick={() => setClasses(K.value - 1)} disabled={K.value <= 2} label="one class fewer">
          −
        </Button>
      </div>
      <ClassName />
      <div class="row">
        <Button
          pressed={adding.value}
          onClick={() => {
            adding.value = !adding.value;
          }}
        >
          Add by pressing
        </Button>
        <Button onClick={() => addPoint(0, 0, newLabel.value)}>Add in the middle</Button>
        <Button onClick={() => deletePoint(selected.value)} disabled={points.value.length <= 2}>
          Delete point
        </Button>
      </div>
      <div class="row" role="group" aria-label="Lines in the plane">
        <Check label="class lines" value={state.lines} />
        <Check label="borders" value={state.borders} />
        {takes("loss", state.loss.value, "delta") && <Check label="margins" value={state.margins} />}
      </div>
      <Choice
        label="Regions"
        value={state.regions}
        choices={[
          ["linear", "linear"],
          ["knn", "nearest neighbours"],
          ["both", "where they differ"],
          ["none", "none"],
        ]}
      />
      {(state.regions.value === "knn" || state.regions.value === "both") && (
        <Slider
          label="neighbours, k"
          value={state.neighbors}
          low={1}
          high={Math.min(50, points.value.length)}
          step={1}
        />
      )}
      {seen.value?.vote && (
        <small data-value="vote">
          {seen.value.vote.k}-NN: {percentText(seen.value.vote.accuracy, 1)} of {seenPoints.value.length} points
          classified correctly; each is one of its own neighbours.
        </small>
      )}
      <Check label="1-NN and 5-NN, side by side" value={state.beside} />
    </div>
  );
}
