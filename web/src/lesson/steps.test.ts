import { afterEach, expect, test, vi } from "vitest";
import { Server } from "../testing";

new Server();

const { addressOf, go, number, predict, predictions, revealed } = await import("./state");
const { STEPS } = await import("./steps");
const { address, closeStep } = await import("../route");
const { PAGES } = await import("../pages");
await import("../playground/state");
await import("../scores/state");
await import("../gradient/state");
await import("../matrix/state");
await import("../walks/state");

afterEach(() => vi.useRealTimers());

test("every step opens a page in the state that its address says, and no part of it is ignored", () => {
  vi.useFakeTimers();
  for (const [i, step] of STEPS.entries()) {
    const page = step.address.split("?")[0]!;
    expect(PAGES.map((entry) => entry.name)).toContain(page);
    go(i + 1);
    vi.runAllTimers();
    expect(number.value).toBe(i + 1);
    // the page writes its state back, in its own order and without what is at its start
    if (page !== "train") expect(address(page), step.title).toBe(addressOf(i + 1));
  }
});

test("an answer is hidden again at the next step, and a prediction is kept", () => {
  go(3);
  predict("a horse with two heads");
  revealed.value = true;
  go(4);
  expect(revealed.value).toBe(false);
  go(3);
  expect(predictions.value[3]).toBe("a horse with two heads");
});

test("the path closes and the page stays", () => {
  go(4);
  closeStep();
  expect(number.value).toBe(0);
  expect(address("playground")).not.toContain("step");
});

test("a step that does not exist is the last one", () => {
  go(STEPS.length);
  expect(number.value).toBe(STEPS.length);
  expect(addressOf(STEPS.length)).toContain(`step=${STEPS.length}`);
});
