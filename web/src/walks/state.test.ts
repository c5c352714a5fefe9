import { expect, test } from "vitest";
import { Server } from "../testing";

new Server();
const { addWalker, MOST_WALKERS, place, removeWalker, setWalker, state, walkersField } = await import("./state");

test("walkers are written and read back, and nothing else is read", () => {
  const field = walkersField([]);
  const walkers = [
    { update: "plain", rate: 0.1, schedule: "constant", batch: 0 },
    { update: "adam", rate: 1e-3, schedule: "cosine", batch: 32 },
  ];
  expect(field.read(field.write(walkers))).toEqual(walkers);
  for (const text of ["plain~0.1~constant", "plain~-1~constant~0", "plain~1~constant~0.5", "a b~1~c~0"])
    expect(field.read(text)).toBeUndefined();
  expect(field.read(Array(7).fill("plain~1~constant~0").join("~"))).toBeUndefined();
});

test("walks are added up to a limit, changed, and removed down to one", () => {
  while (state.w.value.length < MOST_WALKERS) addWalker();
  addWalker();
  expect(state.w.value).toHaveLength(MOST_WALKERS);
  setWalker(0, { rate: 0.5 });
  expect(state.w.value[0]!.rate).toBe(0.5);
  for (let i = 0; i < 10; i += 1) removeWalker(0);
  expect(state.w.value).toHaveLength(1);
});

test("a start is placed to three decimals", () => {
  place(1.23456, -0.5);
  expect([state.x.value, state.y.value]).toEqual([1.235, -0.5]);
});
