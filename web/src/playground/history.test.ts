import { effect } from "@preact/signals";
import { beforeAll, expect, test } from "vitest";
import { Server } from "../testing";

const server = new Server();
const { dragging, points, running, selected, state, W } = await import("./state");
const { addPoint, movePoint, relabel, scaleWeights, setClass, setClasses, takeSet } = await import("./edits");
const { canRedo, canUndo, held, record, redo, undo } = await import("./history");
server.open();

const rest = () => new Promise((resolve) => setTimeout(resolve, 2));
const everything = () => JSON.stringify(Object.values(state).map((cell) => cell.value ?? null));

beforeAll(async () => {
  const [sent] = await server.received("playground.draw");
  await server.answer(sent!, {
    points: [
      [1, 2],
      [-1, 1],
      [0, -2],
    ],
    labels: [0, 1, 2],
    class_names: ["a", "b", "c"],
  });
  effect(record);
  await rest();
});

test("each edit is undone and redone, back to the state that it met, in order", async () => {
  expect(canUndo.value).toBe(false);
  const edits = [
    () => movePoint(0, 0.5, 0.5),
    () => relabel(1, 2),
    () => addPoint(0, 0, 1),
    () => setClass(1, [2, 1], 0.5),
    () => scaleWeights(2),
    () => setClasses(4),
    () => takeSet("shell"),
    () => {
      state.reg.value = 0.5;
    },
  ];
  const states = [everything()];
  for (const edit of edits) {
    edit();
    await rest();
    states.push(everything());
  }
  expect(new Set(states).size).toBe(edits.length + 1);
  for (const before of states.slice(0, -1).reverse()) {
    undo();
    expect(everything()).toBe(before);
    await rest();
  }
  expect(canUndo.value).toBe(false);
  for (const after of states.slice(1)) {
    redo();
    expect(everything()).toBe(after);
  }
  expect(canRedo.value).toBe(false);
});

test("all that happens while a pointer or a key is down, or an optimizer runs, is one edit", async () => {
  for (const busy of [held, dragging, running]) {
    const before = everything();
    busy.value = true;
    for (let i = 1; i < 4; i += 1) {
      setClass(0, [i, 0], 0);
      if (busy === running) running.value = true; // an edit by hand would end it
      await rest();
    }
    busy.value = false;
    await rest();
    undo();
    expect(everything()).toBe(before);
  }
});

test("an edit after an undo forgets what was undone, and a setting of the view is none", async () => {
  scaleWeights(3);
  await rest();
  undo();
  expect(canRedo.value).toBe(true);
  state.regions.value = "none";
  await rest();
  expect(canRedo.value).toBe(true);
  scaleWeights(0);
  await rest();
  expect(canRedo.value).toBe(false);
  expect(W.value.flat().every((w) => w === 0)).toBe(true);
  undo();
  expect(W.value.flat().every((w) => w === 0)).toBe(false);
});

test("the chosen point is one that is there", async () => {
  addPoint(0, 0, 0);
  await rest();
  expect(selected.value).toBe(points.value.length - 1);
  undo();
  expect(selected.value).toBe(points.value.length - 1);
});
