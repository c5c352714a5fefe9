// A picture that is dropped on the page: sent by a POST.
import type { Kept, Refused } from "../protocol";
import { ownFailure } from "./live";
import { state } from "./state";

export function take(file: File | undefined): void {
  if (!file) return;
  ownFailure.value = "";
  fetch(`inspect/picture?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file }).then(
    async (response) => {
      const answer = (await response.json()) as Kept | Refused;
      if ("own" in answer) state.own.value = answer.own;
      else ownFailure.value = answer.error;
    },
    () => {
      ownFailure.value = "the picture was not taken; is linprobe lab still running?";
    },
  );
}
