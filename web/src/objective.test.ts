import { signal } from "@preact/signals";
import { expect, test } from "vitest";
import type { Field } from "./fields";
import { Server } from "./testing";

const server = new Server();
const { objectiveFields, objectiveOf } = await import("./objective");
server.open();

const fields = objectiveFields({ loss: "hinge", beta: 0.5, reg: 0.001, delta: 0.01 });
const cells = () => {
  const cell = <T>(field: Field<T>) => signal(field.start);
  return {
    loss: cell(fields.loss),
    delta: cell(fields.delta),
    loss_options: cell(fields.loss_options),
    penalty: cell(fields.penalty),
    beta: cell(fields.beta),
    reg: cell(fields.reg),
    penalty_options: cell(fields.penalty_options),
  };
};

test("a request holds the loss and the penalty that the page starts with", () => {
  expect(objectiveOf(cells())).toEqual({ loss: "hinge", delta: 1, penalty: "l2", beta: 0.5, reg: 0.001 });
});

test("the own parameters of a loss are sent with that loss alone", async () => {
  const own = { name: "gamma", kind: "number", default: 1, low: 0, high: null, open_low: true, meaning: "" };
  server.tell("choices", {
    loss: [
      { name: "focal", title: "", formula: "", meaning: "", parameters: [own] },
      { name: "hinge", title: "", formula: "", meaning: "", parameters: [] },
    ],
  });
  const now = cells();
  now.loss_options.value = { gamma: 2, other: 3 };
  expect(objectiveOf(now).loss_options).toBeUndefined();
  now.loss.value = "focal";
  expect(objectiveOf(now).loss_options).toEqual({ gamma: 2 });
});

test("an address cannot hold a margin below the page's least", () => {
  expect([fields.delta.read("0.001"), fields.delta.read("1000"), fields.reg.read("-1")]).toEqual([
    undefined,
    1000,
    undefined,
  ]);
});
