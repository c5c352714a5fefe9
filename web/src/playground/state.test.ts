import { expect, test } from "vitest";
import { Server } from "../testing";

const server = new Server();
const { points, state } = await import("./state");
const { takeSet } = await import("./edits");
server.open();

test("the points are those of the set chosen last, whichever answer comes last", async () => {
  await server.received("playground.draw");
  takeSet("shell");
  takeSet("quadrants");
  const sent = await server.received("playground.draw");
  const [shell, quadrants] = ["shell", "quadrants"].map((set) => sent.find((one) => one.params.set === set)!);
  await server.answer(quadrants!, {
    points: [
      [1, 2],
      [3, 4],
    ],
    labels: [0, 1],
    class_names: ["even", "odd"],
  });
  await server.answer(shell!, { points: [[9, 9]], labels: [0], class_names: ["inside"] });
  expect(state.set.value).toBe("quadrants");
  expect(points.value).toEqual([
    { x: 1, y: 2, label: 0 },
    { x: 3, y: 4, label: 1 },
  ]);
});
