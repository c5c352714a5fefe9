// An archive that is dropped on the page: sent by a POST, with its progress.
import { batch } from "@preact/signals";
import type { Refused, Uploaded } from "../protocol";
import { mostBytes, sources, upload, uploadFailure } from "./live";
import { state } from "./state";

/** Send the archive; what is wrong with it is shown below the field. */
export function take(file: File | undefined): void {
  if (!file) return;
  uploadFailure.value = "";
  if (mostBytes.peek() && file.size > mostBytes.peek()) {
    uploadFailure.value = `${file.name} has ${Math.round(file.size / 2 ** 20)} MiB; the limit of the lab is ${mostBytes.peek() / 2 ** 20} MiB. Give a larger file on the command line: linprobe lab ${file.name}`;
    return;
  }
  upload.value = 0;
  const request = new XMLHttpRequest();
  request.open("POST", `train/upload?name=${encodeURIComponent(file.name)}`);
  request.responseType = "json";
  request.upload.onprogress = (event) => {
    upload.value = event.total ? event.loaded / event.total : 0;
  };
  request.onloadend = () => {
    upload.value = null;
    const answer = request.response as Uploaded | Refused | null;
    if (answer && "source" in answer) {
      const found = answer.sources.find((one) => one.key === answer.source)?.upload;
      batch(() => {
        sources.value = answer.sources;
        state.source.value = answer.source;
        // Photos of many sizes, or large ones, are resized: a linear map of millions of pixels learns noise.
        if (found && (!found.one_size || (found.size && Math.max(...found.size) > 128))) state.size.value = "32";
      });
    } else uploadFailure.value = answer?.error ?? "The upload failed. Is linprobe lab still running?";
  };
  request.send(file);
}
