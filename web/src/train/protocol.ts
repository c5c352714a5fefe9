// What linprobe.lab.train sends to this page, and what it takes: as JSON.
export interface Source {
  key: string;
  label: string;
  kind: string;
  upload: { n_files: number; size: [number, number] | null; one_size: boolean } | null;
}
export type Row = Record<string, number | null> & { epoch: number };
export interface Job {
  run: string;
  source: string;
  phase: string;
  message: string;
  running: boolean;
  settings: { classifier: Record<string, unknown> };
  metrics: Metrics | null;
  rows?: Row[];
  glimpses?: [number, number | null][];
}
export interface Metrics {
  objective: number | null;
  train_accuracy: number;
  validation_accuracy: number | null;
  test_accuracy: number;
  seconds: number;
  passes: number;
  epochs: number;
  status: string;
  status_text: string;
  n_test: number;
  certificate: { relative_gap: number; lower_bound: number } | null;
  penalty?: string;
  reg?: number;
}
export interface Run {
  run: string;
  error?: string;
  kind: string;
  source: string;
  loss: string;
  penalty: string;
  reg: number | null;
  optimizer: string;
  features: string;
  finished: boolean;
  has_model: boolean;
  has_report: boolean;
  result: Metrics | null;
}
export interface Templates {
  run: string;
  epoch: number | null;
  class_names: string[];
  height: number;
  width: number;
  limit: number;
  color: string;
  signed: string;
}
export interface Description {
  source: string;
  format: string;
  pictures: boolean;
  shape: number[];
  class_names: string[];
  counts: Record<string, number>;
  skipped: number;
}

export interface State {
  sources: Source[];
  job: Job | null;
  runs: Run[];
  folder: string;
  reports: boolean;
  most_bytes: number;
}
