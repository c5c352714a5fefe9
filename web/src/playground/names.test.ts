import { expect, test } from "vitest";
import { Server } from "../testing";
import { classNamesField, renamed } from "./points";

const server = new Server();
const { className, classInWords, state } = await import("./state");
const { movePoint, setClasses, takeSet } = await import("./edits");
server.open();

const answer = async (set: string, class_names: string[]) => {
  const sent = await server.received("playground.draw");
  const points = class_names.map((_, k) => [k / 10, 0]);
  for (const one of sent.filter(({ params }) => params.set === set))
    await server.answer(one, { points, labels: points.map((_, k) => k), class_names });
};

test("the names of a set stay while its points are moved, and a class more has its number", async () => {
  await answer("blobs", ["blob 1", "blob 2", "blob 3"]);
  movePoint(0, 1, 1);
  setClasses(4);
  expect([0, 1, 2, 3].map(className)).toEqual(["blob 1", "blob 2", "blob 3", "3"]);
  expect([2, 3].map(classInWords)).toEqual(["class 2, blob 3", "class 3"]);
});

test("a name that was given stays when the data change, and the other classes have those of the new set", async () => {
  state.names.value = renamed(state.names.value, 1, " frog ");
  takeSet("shell");
  await answer("shell", ["shell", "rest"]);
  expect([0, 1].map(className)).toEqual(["shell", "frog"]);
  state.names.value = renamed(state.names.value, 1, "");
  expect(className(1)).toBe("rest");
});

test("names are written into the address and read back", () => {
  const names = renamed(renamed([], 0, "cat"), 2, "a ~ b");
  expect(classNamesField.write(names)).toBe("cat~~a  b");
  expect(classNamesField.read("cat~~a  b")).toEqual(["cat", "", "a  b"]);
  expect(classNamesField.write([])).toBe("");
  for (const text of ["a~b~c~d~e~f~g", "x".repeat(25)]) expect(classNamesField.read(text)).toBeUndefined();
});
