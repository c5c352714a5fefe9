import { expect, test } from "vitest";
import { likenessOf, meaningOf, severitiesAs, severitiesIn } from "./severities";

test("severities are written into the address and read back, those at 0 left out", () => {
  expect(severitiesAs({ rotation: 3, patch: 0, gamma: 5 })).toBe("rotation.3_gamma.5");
  expect(severitiesIn("rotation.3_gamma.5")).toEqual({ rotation: 3, gamma: 5 });
  expect(severitiesAs(severitiesIn(""))).toBe("");
});

test("what is no severity of 1 to 5 is not read", () => {
  expect(severitiesIn("rotation.0_patch.6_gamma_.3_shadow.x_scale.1")).toEqual({ scale: 1 });
});

test("a severity has the unit of its kind, or the one that the server sends", () => {
  const rotation = { name: "rotation", unit: "degrees", amounts: [5, 10, 20, 30, 45] };
  expect([0, 1, 5].map((severity) => meaningOf(rotation, severity))).toEqual(["as it is", "5°", "45°"]);
  expect(meaningOf({ name: "elastic", unit: "", amounts: [0.025] }, 1)).toBe("2.5% of the side");
  expect(meaningOf({ name: "fog", unit: "metres", amounts: [70] }, 1)).toBe("70 metres");
});

test("the stand-ins of a class go from the picture itself to the furthest", () => {
  expect([0, 1, 5].map(likenessOf)).toEqual(["the picture itself", "nearest", "furthest"]);
});
