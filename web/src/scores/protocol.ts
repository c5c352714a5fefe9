// What linprobe.lab.scores sends to this page: as JSON. null stands for NaN and infinity.

export type Loss = "hinge" | "squared-hinge" | "softmax";
export type PerLoss<T> = Record<Loss, T>;

export interface Explained {
  losses: PerLoss<(number | null)[]>;
  means: PerLoss<number | null>;
  terms: { margins: (number | null)[]; hinge: (number | null)[]; "squared-hinge": (number | null)[] };
  softmax: {
    exponentials: (number | null)[];
    sum: number | null;
    probabilities: number[];
    log_probabilities: (number | null)[];
    loss: number;
  };
  gradients: PerLoss<number[]>;
  doubled: PerLoss<number>;
  zero: PerLoss<number>;
  own_term: number;
  jiggled: PerLoss<[number, number][]>;
  curve: PerLoss<number[]> & { scores: number[] };
}
