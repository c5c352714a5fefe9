// What linprobe.lab.inspect sends to this page: as JSON.

export interface Run {
  run: string;
  source: string;
  features: string;
  loss: string;
  result: { test_accuracy: number } | null;
}

export interface Challenge {
  name: string;
  kinds: { name: string; unit: string; amounts: number[] }[];
}

export interface Picture {
  height: number;
  width: number;
  bytes: string;
}

export interface Opened {
  run: string;
  class_names: string[];
  shape: number[] | null;
  loss: string;
  features: string;
  n_test: number;
  n_train: number;
  why: string;
}

export interface Item {
  index: number;
  label: number;
  found: number;
  picture: Picture;
}

export interface Grid {
  total: number;
  n_test: number;
  accuracy: number;
  page: number;
  pages: number;
  items: Item[];
}

export interface Contributions {
  first: number;
  second: number;
  why?: string;
  height: number;
  width: number;
  limit: number;
  bytes: string;
  sums: [number, number];
}

export interface Look {
  name: string;
  label: number | null;
  found: number;
  before: number;
  stand_in: number | null;
  original: Picture;
  picture: Picture;
  scores: number[];
  bias: number[];
  probabilities: number[] | null;
  loss: number | null;
  contributions: Contributions;
  seconds: number;
}

export interface Neighbours {
  vote: string;
  items: { name: string; distance: number; position: number; picture: Picture }[];
  seconds: number;
}
