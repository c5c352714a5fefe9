// Whether a page goes where the lecturer is.
import type { HallState } from "../protocol";

/** What a step of the lecturer is known by: it is followed once, not again when the connection or the page is renewed. */
export const mark = ({ turn, shown }: HallState): string => `${turn} ${shown}`;

/** Whether there is a step that the page was not at. */
export const isNew = (state: HallState, seen: string): boolean =>
  state.role === "student" && state.turn > 0 && mark(state) !== seen;
