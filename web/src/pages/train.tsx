// Train: a source, settings, one training at a time watched live, and the runs that there are.
import { useSignalEffect } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { call, connections, say } from "../socket";
import { load } from "../train/events";
import { failure, liveFailure, runsFailure } from "../train/live";
import { RunsPanel } from "../train/runs";
import { SettingsPanel } from "../train/settings";
import { SourcePanel } from "../train/source";
import { TemplatesPanel } from "../train/templates";
import { LivePanel } from "../train/watch";
import "../ui/pixels.css";
import "./train.css";

export default function Train() {
  // The server sends weights only while a page is visible, which the page reports anew over each connection.
  const look = () => {
    const on = document.visibilityState === "visible";
    void call("train.look", { on }).then(load).catch(say(failure));
  };
  useSignalEffect(() => {
    if (!connections.value) return;
    failure.value = liveFailure.value = runsFailure.value = ""; // of the time without a connection
    look();
  });
  useEffect(() => {
    document.addEventListener("visibilitychange", look);
    return () => {
      document.removeEventListener("visibilitychange", look);
      void call("train.look", { on: false }).catch(() => undefined);
    };
  }, []);
  return (
    <>
      <div class="page-head">
        <h1>Train</h1>
        <p class="lead">
          Train a linear classifier on your pictures and watch it learn. Each training is a run of{" "}
          <code>linprobe train</code>: the same folder, certificate and bits.
        </p>
      </div>
      <div class="columns train">
        <div class="stack">
          <SourcePanel />
          <SettingsPanel />
        </div>
        <div class="stack">
          <LivePanel />
          <TemplatesPanel />
        </div>
        <RunsPanel />
      </div>
    </>
  );
}
