// The panel "Source": which images, in which size, and what they are.
import { batch, useSignalEffect } from "@preact/signals";
import { call, connections, request, say } from "../socket";
import { Button, Check, Failure, Notes, Panel, Select } from "../ui/controls";
import { Drop } from "../ui/drop";
import { about, reading, sourceFailure, sources, upload, uploadFailure } from "./live";

import { imageSize, SIZES, skipBad, state } from "./state";
import { take } from "./upload";

export function SourcePanel() {
  useSignalEffect(() => {
    void connections.value;
    const asked = {
      source: state.source.value,
      image_size: imageSize.value,
      seed: state.seed.value,
      skip_bad: skipBad.value,
    };
    if (!sources.value.some((one) => one.key === asked.source)) {
      batch(() => {
        about.value = null;
        reading.value = false;
      });
      return undefined;
    }
    batch(() => {
      reading.value = true;
      if (about.peek()?.source !== asked.source) about.value = null; // never the description of another source
      sourceFailure.value = "";
    });
    return request(
      "train.describe",
      asked,
      (found) => {
        batch(() => {
          about.value = found;
          reading.value = false;
          sourceFailure.value = "";
        });
      },
      (error) => {
        batch(() => {
          about.value = null;
          reading.value = false;
          sourceFailure.value = error.message;
        });
      },
    );
  });
  const known = sources.value;
  const current = known.find((one) => one.key === state.source.value);
  const found = about.value;
  const choices = known.map(
    (one) => [one.key, one.kind === "uploaded" ? `${one.label} (uploaded)` : one.label] as const,
  );
  if (known.length && !current) choices.unshift([state.source.value, `${state.source.value} (not here)`]);
  return (
    <Panel title="Source">
      <Select label="Images" value={state.source} choices={choices} />
      {known.length > 0 && !current && (
        <p class="error" role="alert">
          This lab does not have {state.source.value}. Choose another source, or start the lab with{" "}
          <code>linprobe lab SOURCE</code>.
        </p>
      )}
      {current && current.kind !== "built-in" && <Select label="Resize pictures" value={state.size} choices={SIZES} />}
      {current && current.kind !== "built-in" && <Check label="Leave out broken pictures" value={state.skip} />}
      <Drop
        label="Drop a .zip with a folder of pictures per class here, or choose one:"
        accept=".zip,application/zip"
        onFile={take}
      >
        {upload.value !== null && <progress value={upload.value} max={1} aria-label="upload" />}
      </Drop>
      <Failure message={uploadFailure} />
      {/* that of the source before says nothing about an upload that runs */}
      {upload.value === null && <Failure message={sourceFailure} />}
      {reading.value && (
        <p class="muted" role="status">
          reading ...
        </p>
      )}
      {found && (
        <dl class="facts">
          <dt>what</dt>
          <dd>
            {found.pictures ? `pictures of ${found.shape.join(" x ")}` : `vectors of ${found.shape[0]} numbers`} (
            {found.format})
          </dd>
          <dt>classes</dt>
          <dd>
            {found.class_names.length}: {found.class_names.slice(0, 12).join(", ")}
            {found.class_names.length > 12 ? ", ..." : ""}
          </dd>
          <dt>images</dt>
          <dd>
            {Object.entries(found.counts)
              .map(([name, n]) => `${n.toLocaleString("en")} ${name}`)
              .join(", ")}
            {found.counts.test ? "" : "; a fifth is held out for the test"}
          </dd>
          <Notes notes={found.notes} />
          {found.skipped > 0 && (
            <>
              <dt>left out</dt>
              <dd>{found.skipped}, broken</dd>
            </>
          )}
        </dl>
      )}
      {current?.kind === "uploaded" && (
        <div class="row">
          <Button
            kind="quiet"
            onClick={() => {
              call("train.forget", { source: current.key }).catch(say(sourceFailure));
            }}
          >
            Remove this upload
          </Button>
        </div>
      )}
    </Panel>
  );
}
