// In the head of the page, in a class: the lecturer shows a step to all, students follow or do not.
import { currentPage } from "../route";
import { link } from "../socket";
import { Address } from "./code";
import { catchUp, follow, following, hall, missed, outcome, refused, showToAll } from "./state";
import "./hall.css";

export function HallBar() {
  const state = hall.value;
  if (!state) return null;
  if (state.role === "lecturer")
    return (
      <span class="hall">
        <button type="button" onClick={showToAll}>
          Show to {state.students} {state.students === 1 ? "student" : "students"}
        </button>
        {state.address && <Address state={state} />}
        <span class="muted small" role="status">
          {outcome.value}
        </span>
      </span>
    );
  return (
    <span class="hall">
      <label>
        <input type="checkbox" checked={following.value} onChange={(event) => follow(event.currentTarget.checked)} />{" "}
        Follow the lecturer
      </label>
      {missed.value && (
        <button type="button" onClick={catchUp}>
          Open the lecturer's step
        </button>
      )}
    </span>
  );
}

/** Why there is no connection. */
export function Unconnected() {
  if (refused.value)
    return (
      <p class="error lost" role="alert">
        Not admitted: {refused.value} The page tries again by itself.
      </p>
    );
  if (link.value !== "closed") return null;
  return (
    <p class="error lost" role="alert">
      No connection to the lab; the page shows the last state. Is <code>linprobe lab</code> still running? The page
      reconnects by itself.
    </p>
  );
}

/** Whether the page is not for this role. */
export const isClosed = (page: string): boolean => hall.value?.closed.includes(page) ?? false;

export function Closed() {
  return (
    <p class="error" role="alert">
      The page {currentPage.value} is closed to students of this class; the lecturer can open it with{" "}
      <code>--allow-training</code>.
    </p>
  );
}
