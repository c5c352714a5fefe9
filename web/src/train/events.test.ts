import { beforeEach, expect, test } from "vitest";
import type { JobShown, Templates, TraceRow, TrainState } from "../protocol";
import { Server } from "../testing";

const server = new Server();
const { load } = await import("./events");
const { glimpses, job, rows, sources, templates, uploadFailure } = await import("./live");
const { state } = await import("./state");
server.open();

const row = (epoch: number): TraceRow => ({ epoch }) as TraceRow;

const training = (run: string, epochs: number, running = true): JobShown => ({
  run,
  source: "digits",
  phase: running ? "training" : "finished",
  message: "",
  running,
  settings: { classifier: { optimizer: "sgd" } } as unknown as JobShown["settings"],
  metrics: null,
  rows: Array.from({ length: epochs }, (_, epoch) => row(epoch)),
  glimpses: [[0.5, 2]],
});

const drawn: Templates = {
  run: "digits-softmax-1",
  epoch: 1,
  class_names: [],
  height: 8,
  width: 8,
  limit: 1,
  color: "",
  signed: "",
};

async function loaded(found: JobShown | null): Promise<void> {
  const done = load();
  const sent = (await server.received("train.state")).at(-1)!;
  const state: TrainState = { sources: [], job: found, runs: [], folder: "runs", reports: false, most_bytes: 0 };
  await server.answer(sent, state);
  await done;
}

beforeEach(async () => {
  await loaded(null);
  await loaded(training("digits-softmax-1", 5));
  templates.value = drawn;
});

test("over a new connection a training that goes on keeps its rows and templates", async () => {
  rows.value = [...rows.value, row(5)];
  await loaded(training("digits-softmax-1", 4));
  expect(rows.value.map((row) => row.epoch)).toEqual([0, 1, 2, 3, 4, 5]);
  expect(templates.value).toBe(drawn);
});

test("a lab that was started anew has neither the rows nor the templates of the training before", async () => {
  await loaded(null);
  expect([job.value, rows.value, glimpses.value, templates.value]).toEqual([null, [], [], null]);
});

test("an upload that is refused leaves the list, and the page says why", () => {
  const source = (key: string) => ({ key, label: key, kind: "uploaded", upload: null }) as const;
  sources.value = [source("upload:1:a.zip"), source("upload:2:b.zip")];
  state.source.value = "upload:2:b.zip";
  const left = [source("upload:1:a.zip")];
  server.tell("train.sources", { sources: left, gone: "upload:3:c.zip", why: "c.zip: not a zip" });
  expect([state.source.value, uploadFailure.value]).toEqual(["upload:2:b.zip", ""]);
  server.tell("train.sources", { sources: left, gone: "upload:2:b.zip", why: "b.zip: no picture remains" });
  expect([state.source.value, uploadFailure.value]).toEqual(["upload:1:a.zip", "b.zip: no picture remains"]);
  expect(sources.value).toEqual(left);
});

test("another training does not get the rows of the one before", async () => {
  await loaded(training("digits-softmax-2", 2));
  expect(rows.value.map((row) => row.epoch)).toEqual([0, 1]);
  expect(templates.value).toBeNull();
});
