// What linprobe.lab.playground sends to this page: as JSON.
import type { Packed } from "../socket";

export interface Drawn {
  points: [number, number][];
  labels: number[];
  class_names: string[];
}

export interface Look {
  scores: number[][];
  margins: number[];
  losses: number[];
  predicted: number[];
  data_loss: number;
  R: number;
  penalty: number;
  objective: number;
  accuracy: number;
  gradient_norm: number;
  regions?: Packed;
  neighbors?: Packed;
}

export interface Certificate {
  objective: number;
  lower_bound: number | null;
  gap: number | null;
  relative_gap: number | null;
  words: string;
}

export interface Step {
  W: number[][][];
  b: number[][];
  objective: (number | null)[];
  status: string;
  state: unknown;
  learning_rate: number | null;
  chosen: string;
  batch: number[];
  epoch: number;
  certificate: Certificate | null;
}

export interface Surface {
  half: number;
  /** log L, from the lowest, 0, to the highest, 255. */
  heights: Packed;
  minimum: number;
  path: [number, number][];
}
