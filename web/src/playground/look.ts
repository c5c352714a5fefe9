// What the library answers about the points and weights that are shown.
import { batch, signal } from "@preact/signals";
import type { Look, LookRequest } from "../protocol";
import { connections, say, stream } from "../socket";
import type { Point } from "./points";
import { b, dragging, failure, half, points, problem, running, state, W } from "./state";

/** What was seen last, while a drag runs a moment ago, */
export const seen = signal<Look | undefined>(undefined);

/** and the points that it was seen of. */
export const seenPoints = signal<Point[]>([]);

/** The classes that the marks are judged by: those of the classifier whose regions are shown. */
export const predictedNow = (): number[] | undefined =>
  state.regions.value === "knn" ? seen.value?.vote?.predicted : seen.value?.predicted;

const ask = stream(
  "playground.look",
  (result, of: Point[]) => {
    batch(() => {
      seen.value = result;
      seenPoints.value = of;
      failure.value = "";
    });
  },
  say(failure),
);

/** Points of the grid of regions along a side: of one that is looked at, and of one that changes under the hand. */
const GRID = 240;

const GRID_MOVING = 120;

/** Ask for what the page shows: an effect of the page. */
export function watch(): void {
  void connections.value;
  if (points.value.length < 1) return;
  const limit = half.value;
  const params: LookRequest = {
    ...problem.value,
    W: W.value,
    b: b.value,
    view: [-limit, -limit, limit, limit],
    size: state.regions.value === "none" ? null : dragging.value || running.value ? GRID_MOVING : GRID,
    ...((state.regions.value === "knn" || state.regions.value === "both") && {
      neighbors: { k: Math.min(state.neighbors.value, points.value.length), metric: "l2" },
    }),
  };
  ask(params, points.value);
}
