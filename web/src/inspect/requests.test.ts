import { effect } from "@preact/signals";
import { beforeEach, expect, test } from "vitest";
import type { Opened, RunShown } from "../protocol";
import { Server } from "../testing";

const server = new Server();
const { failure, opened, opening } = await import("./live");
const { watchOpened, watchRuns } = await import("./requests");
const { state } = await import("./state");
server.open();

const answered = async (run: string, shape: number[] | null): Promise<void> => {
  const sent = (await server.received("inspect.open")).filter((one) => one.params.run === run).at(-1)!;
  const about: Opened = {
    run,
    class_names: [],
    shape,
    loss: "softmax",
    features: "pixels",
    n_test: 0,
    n_train: 0,
    why: "",
    notes: [],
  };
  await server.answer(sent, about);
};

let stop: (() => void) | undefined;

beforeEach(async () => {
  stop?.();
  state.run.value = "";
  opened.value = null;
  stop = effect(watchOpened);
  effect(watchRuns)();
  const runs = ["vectors", "broken", "digits"].map((run) => ({ run }) as RunShown);
  await server.answer((await server.received("inspect.state")).at(-1)!, { runs, challenges: [] });
});

test("the page opens on the latest run that has pictures", async () => {
  await answered("vectors", null);
  await server.refuse((await server.received("inspect.open")).at(-1)!, "its model is damaged");
  expect([opened.value, failure.value, opening.value]).toEqual([null, "", true]);
  await answered("digits", [8, 8, 1]);
  expect([state.run.value, opened.value?.run, opening.value]).toEqual(["digits", "digits", false]);
});

test("where none has pictures it shows the latest, and why", async () => {
  await answered("vectors", null);
  await answered("broken", null);
  await answered("digits", null);
  await answered("vectors", null);
  expect([state.run.value, opened.value?.run, opening.value]).toEqual(["vectors", "vectors", false]);
});

test("a run that is chosen is shown, whatever it holds", async () => {
  state.run.value = "broken";
  await answered("broken", null);
  expect([state.run.value, opened.value?.run]).toEqual(["broken", "broken"]);
});
