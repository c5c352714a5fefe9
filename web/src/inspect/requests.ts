// What this page requests, each function an effect of the page: the runs, one of them, and answers about its pictures.
import { batch } from "@preact/signals";
import { call, connections, request, say, stream } from "../socket";
import {
  challenges,
  failure,
  found,
  grid,
  gridFailure,
  lookFailure,
  nearest,
  nearestFailure,
  opened,
  opening,
  runs,
} from "./live";

import { asked, state } from "./state";

/** Thumbnails of a page: six rows of four. */
const PER_PAGE = 24;

const askLook = stream(
  "inspect.look",
  (result) => {
    batch(() => {
      found.value = result;
      lookFailure.value = "";
    });
  },
  say(lookFailure),
);

const askNearest = stream(
  "inspect.neighbours",
  (result) => {
    batch(() => {
      nearest.value = result;
      nearestFailure.value = "";
    });
  },
  say(nearestFailure),
);

const askGrid = stream(
  "inspect.grid",
  (result) => {
    batch(() => {
      grid.value = result;
      gridFailure.value = "";
    });
  },
  say(gridFailure),
);

/** Runs that are opened at most where the address names none, the latest first, until one has pictures. */
const MOST_TRIED = 8;
let candidates: string[] = [];
/** The one of them that is being opened; "" once a hand or an address has chosen. */
let tried = "";

/** The run to open after one that has no pictures; after the last it is the first, whose reason is shown. */
function following(run: string): string | undefined {
  if (run !== tried) return undefined;
  tried = candidates[candidates.indexOf(run) + 1] ?? "";
  const next = tried || candidates[0];
  return next === run ? undefined : next;
}

/** The runs that have a model, and the challenges. */
export function watchRuns(): void {
  void connections.value;
  call("inspect.state", {}).then((sent) => {
    batch(() => {
      runs.value = sent.runs;
      challenges.value = sent.challenges;
      if (state.run.peek()) return;
      candidates = sent.runs.slice(0, MOST_TRIED).map((one) => one.run);
      state.run.value = tried = candidates[0] ?? "";
    });
  }, say(failure));
}

/** Open the run that is chosen: its classes, and the shape of its pictures. */
export function watchOpened(): (() => void) | undefined {
  void connections.value;
  const run = state.run.value;
  if (!run || opened.peek()?.run === run) return undefined;
  batch(() => {
    opened.value = grid.value = found.value = nearest.value = null;
    failure.value = lookFailure.value = gridFailure.value = nearestFailure.value = "";
    opening.value = true;
  });
  return request(
    "inspect.open",
    { run },
    (sent) => {
      const next = sent.shape ? undefined : following(run);
      batch(() => {
        if (next) state.run.value = next;
        else opened.value = sent;
        opening.value = Boolean(next);
      });
    },
    (error) => {
      const next = following(run);
      batch(() => {
        if (next) state.run.value = next;
        else failure.value = error.message;
        opening.value = Boolean(next);
      });
    },
  );
}

/** A page of the test images. */
export function watchGrid(): void {
  const subject = opened.value;
  if (!subject?.n_test || !connections.value) return;
  askGrid({
    run: subject.run,
    show: state.show.value,
    label: state.label.value < 0 ? undefined : state.label.value,
    found: state.found.value < 0 ? undefined : state.found.value,
    page: state.page.value,
    size: PER_PAGE,
  });
}

/** What the model makes of the picture. */
export function watchLook(): void {
  const which = asked.value;
  const pair = {
    first: state.first.value < 0 ? undefined : state.first.value,
    second: state.second.value < 0 ? undefined : state.second.value,
  };
  if (which && connections.value) askLook({ ...which, ...pair });
}

/** The training images that are nearest to the picture. */
export function watchNeighbours(): void {
  const which = asked.value;
  if (which && opened.value?.n_train && connections.value)
    askNearest({ ...which, k: state.k.value, metric: state.metric.value });
}
