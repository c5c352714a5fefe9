// What linprobe.lab.gradient sends to this page: as JSON.

interface Coordinate {
  name: string;
  analytic: number;
  forward: number;
  centred: number;
  error: number;
  kink: string | null;
  ok: boolean;
}

export interface Checked {
  ok: boolean;
  n_checked: number;
  n_wrong: number;
  n_kinks: number;
  largest_error: number | null;
  tolerance: number;
  problems: string[];
  coordinates: Coordinate[];
  objective: number;
  W: number[][];
  b: number[];
}

export interface Swept {
  h: number[];
  names: string[];
  forward: number[][];
  centred: number[][];
  kinks: boolean[][];
}
