// The losses of this page, and the examples of the lecture.
import type { LossName } from "../protocol";

/** Name, title, colour and dash of each line. */
export const LOSSES: readonly (readonly [LossName, string, string, string | undefined])[] = [
  ["hinge", "hinge", "var(--class-0)", undefined],
  ["squared-hinge", "squared hinge", "var(--class-2)", "2 3"],
  ["softmax", "softmax", "var(--class-5)", "7 4"],
];

export interface Example {
  title: string;
  rows: number[][];
  labels: number[];
  names: string;
  moved?: number;
}

const CIFAR = "airplane.automobile.bird.cat.deer.dog.frog.horse.ship.truck";

export const EXAMPLES: readonly Example[] = [
  {
    title: "cat, car, frog",
    rows: [
      [3.2, 5.1, -1.7],
      [1.3, 4.9, 2.0],
      [2.2, 2.5, -3.1],
    ],
    labels: [0, 1, 2],
    names: "cat.car.frog",
  },
  { title: "SVM vs. softmax", rows: [[-2.85, 0.86, 0.28]], labels: [2], names: "0.1.2" },
  { title: "jiggle: 10, −2, 3", rows: [[10, -2, 3]], labels: [0], names: "0.1.2" },
  { title: "jiggle: 10, 9, 9", rows: [[10, 9, 9]], labels: [0], names: "0.1.2" },
  { title: "jiggle: 10, −100, −100", rows: [[10, -100, -100]], labels: [0], names: "0.1.2" },
  { title: "small W: all scores 0", rows: [[0, 0, 0]], labels: [0], names: "cat.car.frog" },
  {
    title: "ten classes",
    rows: [
      [-3.45, -8.87, 0.09, 2.9, 4.48, 8.02, 3.78, 1.06, -0.36, -0.72],
      [-0.51, 6.04, 5.31, -4.22, -4.19, 3.58, 4.49, -4.37, -2.09, -2.93],
      [3.42, 4.64, 2.65, 5.1, 2.64, 5.55, -4.34, -1.5, -4.79, 6.14],
    ],
    labels: [3, 1, 6],
    names: CIFAR,
  },
];
