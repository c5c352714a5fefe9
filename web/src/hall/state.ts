// The class that this page is in, if it is in one: its role, what is closed to it, and the step that the lecturer shows.
import { signal } from "@preact/signals";
import type { HallState } from "../protocol";
import { address, currentPage, openAddress } from "../route";
import { call, hear, say } from "../socket";
import { isNew, mark } from "./follow";

/** undefined outside a class. */
export const hall = signal<HallState | undefined>(undefined);
/** Why this page was not let in; "" once it is. */
export const refused = signal("");
export const following = signal(true);
/** A step of the lecturer that is not shown here, as its page does not follow. */
export const missed = signal("");
/** What became of the last step that was shown to all. */
export const outcome = signal("");

/** The link is in the address 150 ms after the hand rests. */
const REST = 200;

const KEY = "linprobe-hall";

// Of this tab, so that a reload keeps its own state.
const seen = (): string => {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return last;
  }
};
let last = "";

function open(state: HallState): void {
  last = mark(state);
  missed.value = "";
  try {
    sessionStorage.setItem(KEY, last);
  } catch {
    // followed again after a reload
  }
  openAddress(state.shown);
}

hear("choices", () => {
  refused.value = "";
});
hear("hall.refused", ({ why }) => {
  refused.value = why;
});
hear("hall.state", (state) => {
  hall.value = state;
  if (!isNew(state, seen())) return;
  if (following.peek()) open(state);
  else missed.value = state.shown;
});

/** Go where the lecturer is. */
export function catchUp(): void {
  const state = hall.peek();
  if (state?.shown) open(state);
}

export function follow(on: boolean): void {
  following.value = on;
  if (on && missed.peek()) catchUp();
}

/** Show this page, as it is, to all students. */
export function showToAll(): void {
  setTimeout(() => {
    call("hall.show", { address: address(currentPage.peek()) }).then(() => {
      outcome.value = "shown";
      setTimeout(() => {
        outcome.value = "";
      }, 3000);
    }, say(outcome));
  }, REST);
}
