// What the page and the server of the lab send each other. Written by `make types`: do not edit.

/** `n` points of the planar set `set`, drawn with `seed`. */
export interface SampleRequest {
  set: PlanarSet;
  n: number;
  seed: number;
}

export type PlanarSet = "blobs" | "shell" | "three-modes" | "quadrants" | "spiral";

/** One (W, b). */
export interface LookRequest {
  loss: string;
  penalty: string;
  delta?: number | null | undefined;
  beta?: number | null | undefined;
  loss_options?: Record<string, boolean | number> | undefined;
  penalty_options?: Record<string, boolean | number> | undefined;
  reg: number;
  points: readonly (readonly [number, number])[];
  labels: readonly number[];
  n_classes: number;
  W: readonly (readonly [number, number])[];
  b: readonly number[];
  view?: readonly [number, number, number, number] | null | undefined;
  size?: number | null | undefined;
  neighbors?: NeighborsRequest | null | undefined;
}

/** The vote of the `k` nearest points. */
export interface NeighborsRequest {
  k: number;
  metric: "l2" | "cosine";
}

/** `steps` steps of an optimizer, from (W, b) or from `state`. */
export interface StepsRequest {
  loss: string;
  penalty: string;
  delta?: number | null | undefined;
  beta?: number | null | undefined;
  loss_options?: Record<string, boolean | number> | undefined;
  penalty_options?: Record<string, boolean | number> | undefined;
  reg: number;
  points: readonly (readonly [number, number])[];
  labels: readonly number[];
  n_classes: number;
  W: readonly (readonly [number, number])[];
  b: readonly number[];
  method: "gd" | "sgd" | "exact";
  steps: number;
  state?: StateRecord | null | undefined;
  learning_rate?: number | null | undefined;
  line_search?: boolean | undefined;
  batch_size?: number | undefined;
  epochs?: number | undefined;
  schedule?: string | undefined;
  update?: string | undefined;
  momentum?: number | undefined;
  seed?: number | undefined;
}

/** The state of an optimizer, on its way to the page and back; its meaning is checked by the optimizer. */
export interface StateRecord {
  epoch: number;
  arrays: Record<string, readonly (readonly [number, number])[] | readonly number[]>;
  numbers: Record<string, number>;
}

/** Two numbers of neighbours over `points` (N, 2) with `labels` (N,), by the L2 distance. */
export interface VotesRequest {
  points: readonly (readonly [number, number])[];
  labels: readonly number[];
  n_classes: number;
  ks: readonly [number, number];
  view: readonly [number, number, number, number];
  size: number;
  set: PlanarSet;
  seed: number;
}

/** A slice of the loss of `size` x `size` points, with the path (n, K, 2), (n, K). */
export interface LandscapeRequest {
  loss: string;
  penalty: string;
  delta?: number | null | undefined;
  beta?: number | null | undefined;
  loss_options?: Record<string, boolean | number> | undefined;
  penalty_options?: Record<string, boolean | number> | undefined;
  reg: number;
  points: readonly (readonly [number, number])[];
  labels: readonly number[];
  n_classes: number;
  path_W: readonly (readonly (readonly [number, number])[])[];
  path_b: readonly (readonly number[])[];
  size: number;
}

/** The scores W x + b of one picture. */
export interface MatrixRequest {
  W: readonly (readonly [number, number, number, number])[];
  b: readonly number[];
  x: readonly [number, number, number, number];
  y: number;
  across: number;
  up: number;
  half: number;
}

/** The losses of `scores` (N, K) with the labels `y` (N,), and all about row `row`. */
export interface ScoresRequest {
  scores: readonly (readonly number[])[];
  y: readonly number[];
  row: number;
  moved: number;
  low: number;
  high: number;
  delta: number;
  jiggle: number;
}

/** The softmax of one row of scores against a target. */
export interface TargetRequest {
  scores: readonly number[];
  shares: readonly number[];
}

/** A check with differences of step `h`. */
export interface CheckRequest {
  loss: string;
  penalty: string;
  delta?: number | null | undefined;
  beta?: number | null | undefined;
  loss_options?: Record<string, boolean | number> | undefined;
  penalty_options?: Record<string, boolean | number> | undefined;
  reg: number;
  set: PlanarSet;
  n: number;
  seed: number;
  weights_seed: number;
  h: number;
}

/** The objective over points of a planar set, at the weights that `weights_seed` draws. */
export interface SweepRequest {
  loss: string;
  penalty: string;
  delta?: number | null | undefined;
  beta?: number | null | undefined;
  loss_options?: Record<string, boolean | number> | undefined;
  penalty_options?: Record<string, boolean | number> | undefined;
  reg: number;
  set: PlanarSet;
  n: number;
  seed: number;
  weights_seed: number;
}

/** One weight moved by `h`: that at position `coordinate` of W and b, laid out flat. */
export interface MoveRequest {
  loss: string;
  penalty: string;
  delta?: number | null | undefined;
  beta?: number | null | undefined;
  loss_options?: Record<string, boolean | number> | undefined;
  penalty_options?: Record<string, boolean | number> | undefined;
  reg: number;
  set: PlanarSet;
  n: number;
  seed: number;
  weights_seed: number;
  h: number;
  coordinate: number;
}

/** A surface by its name. */
export interface SurfaceRequest {
  ground: GroundName;
}

export type GroundName = "valley" | "saddle";

/** Walks from one start. */
export interface WalksRequest {
  ground: GroundName;
  x: number;
  y: number;
  walkers: readonly Walker[];
  steps: number;
  seed: number;
}

/** How one walk goes. */
export interface Walker {
  update: string;
  rate: number;
  schedule: string;
  batch: number;
}

/** A request that holds nothing. */
export type NoParameters = Record<string, never>;

/** A source, as it would be read with these settings. */
export interface DescribeRequest {
  source: string;
  seed: number;
  image_size?: readonly [number, number] | null | undefined;
  skip_bad?: boolean | undefined;
}

/** A new run on a source. */
export interface StartRequest {
  source: string;
  settings: SettingsRequest;
}

/** The settings of a run; those that the chosen loss, penalty, optimizer or update does not have are ignored. */
export interface SettingsRequest {
  loss: string;
  penalty: string;
  reg: number;
  beta: number;
  delta: number;
  optimizer: string;
  preprocess: string;
  tol: number;
  max_iter: number;
  batch_size?: number | undefined;
  epochs?: number | undefined;
  learning_rate?: number | null | undefined;
  schedule?: string | undefined;
  update?: string | undefined;
  momentum?: number | undefined;
  dropout?: number | undefined;
  average?: boolean | undefined;
  patience?: number | null | undefined;
  loss_options?: Record<string, boolean | number> | undefined;
  penalty_options?: Record<string, boolean | number> | undefined;
  features: string;
  flips?: boolean | undefined;
  patches?: number | null | undefined;
  validation: number;
  seed: number;
  image_size?: readonly [number, number] | null | undefined;
  skip_bad?: boolean | undefined;
}

/** A stopped run; with `finish`, to be ended with its last checkpoint. */
export interface ResumeRequest {
  run: string;
  finish?: boolean | undefined;
}

/** Runs to be compared, by their names, with "/" between them. */
export interface TracesRequest {
  runs: string;
}

/** A run by its name. */
export interface RunRequest {
  run: string;
}

/** Whether the page wants every step of the training. */
export interface TrainLookRequest {
  on?: boolean | undefined;
}

/** An upload to be deleted. */
export interface ForgetRequest {
  source: string;
}

/** A run whose model is inspected. */
export interface OpenRequest {
  run: string;
}

/** A page of `size` test images: all, those classified right or wrong; of one true or found class. */
export interface GridRequest {
  run: string;
  show: "all" | "right" | "wrong";
  label?: number | null | undefined;
  found?: number | null | undefined;
  page: number;
  size: number;
}

/** A picture, and the two classes whose scores are explained; None for those of the highest scores. */
export interface InspectionRequest {
  run: string;
  index?: number | null | undefined;
  own?: string | null | undefined;
  severities?: Record<string, number> | undefined;
  seed: number;
  first?: number | null | undefined;
  second?: number | null | undefined;
}

/** The k nearest training images of a picture. */
export interface NeighboursRequest {
  run: string;
  index?: number | null | undefined;
  own?: string | null | undefined;
  severities?: Record<string, number> | undefined;
  seed: number;
  metric: "l2" | "l1";
  k: number;
}

/** A step: the part of its link from "#/" on. */
export interface ShowRequest {
  address: string;
}

/** Points (n, 2) of a planar set, their classes, and the names of these. */
export interface Drawn {
  points: [number, number][];
  labels: number[];
  n_classes: number;
  class_names: string[];
}

/** Everything that the page shows of one (W, b). */
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
  dW: number[][];
  db: number[];
  doubled: Doubled;
  borders: Border[];
  margin_lines: Border[];
  vote: OwnVote | null;
  regions: Packed | null;
  neighbors: Packed | null;
}

/** The sums at (2 W, 2 b), as in `Look`. */
export interface Doubled {
  data_loss: number;
  R: number;
  objective: number;
}

/** A segment on which class `inside` leads class `other` by just the margin, both ends inside the view. */
export interface Border {
  inside: number;
  other: number;
  start: [number, number];
  end: [number, number];
}

/** The class that the `k` nearest points, itself among them, give each point, and the share that is right. */
export interface OwnVote {
  k: number;
  predicted: number[];
  accuracy: number;
}

/** A grid of bytes, row after row, in base64: of classes 0..255, of heights, or RGB for each pixel. */
export interface Packed {
  height: number;
  width: number;
  bytes: string;
}

/** The path of an optimizer, as in `Walk`: W (n, K, 2), b (n, K), and L after each step. */
export interface Steps {
  W: [number, number][][];
  b: number[][];
  objective: (number | null)[];
  status: string;
  state: StateRecord | null;
  learning_rate: number | null;
  chosen: string;
  batch: number[];
  epoch: number;
  certificate: Proof | null;
}

/** A certificate in numbers and in words; None for what is not bounded. */
export interface Proof {
  objective: number;
  lower_bound: number | null;
  gap: number | null;
  relative_gap: number | null;
  words: string;
}

/** A vote for each of `ks`, and how many points were held out. */
export interface Votes {
  votes: Vote[];
  n_held_out: number;
}

/** What `k` nearest neighbours decide. */
export interface Vote {
  k: number;
  regions: Packed;
  predicted: number[];
  accuracy: number;
  held_out_accuracy: number;
}

/** A slice of the loss. */
export interface Surface {
  half: number;
  heights: Packed;
  minimum: number;
  path: [number, number][];
}

/** What `multiply` gives. */
export interface Multiplied {
  products: number[][];
  scores: number[];
  hinge: number;
  softmax: number;
  probabilities: number[];
  template: string;
  lines: ([number, number, number, number] | null)[];
}

/** What `explain` gives; of each loss by its name. */
export interface Explained {
  losses: Record<LossName, (number | null)[]>;
  means: Record<LossName, number | null>;
  terms: Record<"margins" | "hinge" | "squared-hinge", (number | null)[]>;
  softmax: SoftmaxSteps;
  gradients: Record<LossName, number[]>;
  doubled: Record<LossName, number>;
  zero: Record<LossName, number>;
  own_term: number;
  jiggled: Record<LossName, [number, number][]>;
  curve: Record<"scores" | "hinge" | "squared-hinge" | "softmax", number[]>;
}

export type LossName = "hinge" | "squared-hinge" | "softmax";

/** The steps of the softmax loss of a row: e^s, their sum, the probabilities and their logarithms. */
export interface SoftmaxSteps {
  exponentials: (number | null)[];
  sum: number | null;
  probabilities: number[];
  log_probabilities: (number | null)[];
  loss: number;
}

/** The target P against the probabilities Q, as in `explain.divergence`; natural logarithms. */
export interface Targeted {
  target: number[];
  probabilities: number[];
  terms: number[];
  entropy: number;
  divergence: number;
  cross_entropy: number;
}

/** A gradient check, as in `GradientCheck`, where it was made, and L there. */
export interface Checked {
  ok: boolean;
  n_checked: number;
  n_wrong: number;
  n_kinks: number;
  tolerance: number;
  problems: string[];
  largest_error: number | null;
  coordinates: Coordinate[];
  W: number[][];
  b: number[];
  objective: number;
}

/** A coordinate of the gradient: by the formula and by differences, as in `CheckedCoordinate`. */
export interface Coordinate {
  name: string;
  analytic: number;
  forward: number;
  centred: number;
  error: number;
  kink: string | null;
  ok: boolean;
}

/** The absolute errors of differences: for each h of each coordinate. */
export interface Swept {
  h: number[];
  names: string[];
  forward: number[][];
  centred: number[][];
  kinks: boolean[][];
}

/** L along one weight, and its derivative by a forward difference and by the formula. */
export interface Moved {
  name: string;
  weight: number;
  value: number;
  moved: number;
  quotient: number;
  analytic: number;
  weights: number[];
  values: number[];
  n_losses: number;
  numeric_seconds: number;
  analytic_seconds: number;
}

/** A surface. */
export interface Shape {
  names: [string, string];
  low: [number, number];
  high: [number, number];
  heights: Packed;
  minima: [number, number][];
  n_images: number;
}

/** A walk, as in `explain.walks.Walked`: steps + 1 places and losses, and the rate of each step. */
export interface Path {
  weights: [number, number][];
  losses: (number | null)[];
  rates: number[];
}

/** Everything that the page shows when it opens. */
export interface TrainState {
  sources: SourceShown[];
  job: JobShown | null;
  runs: (RunShown | BrokenRun)[];
  folder: string;
  reports: boolean;
  most_bytes: number;
}

/** A source in the list of the page; the attributes are those of `Source`. */
export interface SourceShown {
  key: string;
  label: string;
  kind: "built-in" | "named" | "uploaded";
  upload: UploadShown | null;
}

/** What is known of an upload, as in `Upload`. */
export interface UploadShown {
  n_files: number;
  size: [number, number] | null;
  one_size: boolean;
}

/** A training as the page gets it; the attributes are those of `Job`. The long ones are None where not requested. */
export interface JobShown {
  run: string;
  source: string;
  phase: "starting" | "reading" | "training" | "stopping" | "finished" | "stopped" | "failed";
  message: string;
  running: boolean;
  settings: TrainSettings;
  metrics: Result | null;
  rows: TraceRow[] | null;
  glimpses: ([number, number | null])[] | null;
}

/** All that decides the bits of a training. */
export interface TrainSettings {
  source: string;
  classifier: Record<string, string | boolean | number | number[] | Record<string, boolean | number> | null>;
  seed: number;
  validation: number;
  image_size: [number, number] | null;
  on_bad_image: "fail" | "skip";
  features: string;
  feature_options: Record<string, string | boolean | number | number[] | Record<string, boolean | number> | null>;
}

/** The result of a run as the page shows it; the attributes but `texts` are those of `RunMetrics`. */
export interface Result {
  penalty: string;
  reg: number;
  objective: number | null;
  train_accuracy: number | null;
  validation_accuracy: number | null;
  test_accuracy: number | null;
  seconds: number;
  passes: number;
  epochs: number | null;
  status: "certified" | "certified_absolute" | "converged" | "completed" | "early_stopped" | "max_iter" | "stalled" | "diverged" | "separable" | "stopped" | "interrupted";
  status_text: string;
  certificate: CertificateShown | null;
  n_train: number;
  n_test: number;
  test_origin: string;
  n_classes: number;
  image_shape: [number, number, number] | null;
  features: string;
  notes: string[];
  texts: FigureTexts;
}

/** What is proved of a result. */
export interface CertificateShown {
  relative_gap: number;
  lower_bound: number;
}

/** Figures and the status as the command line and the report print them; "-" where there is none. */
export interface FigureTexts {
  objective: string;
  lower_bound: string;
  relative_gap: string;
  status: string;
}

/** A row of a trace: the columns of trace.csv, and the predicted gap; None for what is not known. */
export interface TraceRow {
  epoch: number;
  objective: number | null;
  data_loss: number | null;
  penalty: number | null;
  gradient_norm: number | null;
  train_accuracy: number | null;
  validation_loss: number | null;
  validation_accuracy: number | null;
  learning_rate: number | null;
  passes: number | null;
  seconds: number | null;
  left: number | null;
}

/** A run folder in the list. */
export interface RunShown {
  run: string;
  kind: "train" | "sweep";
  began: number;
  source: string;
  loss: string;
  penalty: string;
  reg: number | null;
  optimizer: string;
  features: string;
  finished: boolean;
  has_model: boolean;
  has_report: boolean;
  result: Result | null;
}

/** A run folder that cannot be read, and why. */
export interface BrokenRun {
  run: string;
  error: string;
}

/** What a source holds. */
export interface Description {
  source: string;
  label: string;
  format: string;
  pictures: boolean;
  shape: number[];
  class_names: string[];
  counts: Record<string, number>;
  skipped: number;
  notes: string[];
}

/** The rows of W (K, D) as pictures, for the mapped pixels that they multiply; of many classes the first 60. */
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

/** Where a report is served. */
export interface ReportAddress {
  address: string;
}

/** The runs that have a model, and the challenges with what their severities mean. */
export interface InspectState {
  runs: RunShown[];
  challenges: ChallengeShown[];
}

/** A challenge and its kinds. */
export interface ChallengeShown {
  name: string;
  kinds: KindShown[];
}

/** A kind of a challenge, as in `challenges.base.Kind`. */
export interface KindShown {
  name: string;
  unit: string;
  amounts: number[];
}

/** What the model of a run offers. */
export interface Opened {
  run: string;
  class_names: string[];
  shape: number[] | null;
  loss: string;
  features: string;
  n_test: number;
  n_train: number;
  why: string;
  notes: string[];
}

/** A page of test images. */
export interface GridPage {
  total: number;
  n_test: number;
  accuracy: number;
  page: number;
  pages: number;
  items: GridItem[];
}

/** A test image: its position, its class, the class that was found, and its pixels. */
export interface GridItem {
  index: number;
  label: number;
  found: number;
  picture: Packed;
}

/** Everything that the page shows of a picture. */
export interface Inspection {
  name: string;
  label: number | null;
  found: number;
  before: number;
  stand_in: number | null;
  original: Packed;
  picture: Packed;
  scores: number[];
  bias: number[];
  probabilities: number[] | null;
  loss: number | null;
  contributions: Contributions;
  seconds: number;
}

/** What the pixels add to the scores of two classes, and to the difference. */
export interface Contributions {
  first: number;
  second: number;
  why: string;
  height: number;
  width: number;
  limit: number;
  bytes: string;
  sums: [number, number];
}

/** The nearest training images, the class that they vote for, and the seconds that this took. */
export interface Neighbours {
  vote: string;
  items: Neighbour[];
  seconds: number;
}

/** A training image: the name of its class, its distance, its position, its pixels. */
export interface Neighbour {
  name: string;
  distance: number;
  position: number;
  picture: Packed;
}

export type Kind = "loss" | "penalty" | "optimizer" | "update" | "schedule" | "preprocess" | "engine" | "features" | "pooling" | "challenge";

/** One choice of a kind. */
export interface Choice {
  name: string;
  title: string;
  formula: string;
  meaning: string;
  parameters: Parameter[];
}

/** One parameter, as the command line, the lab and the report describe it. */
export interface Parameter {
  name: string;
  default: string | boolean | number | null;
  meaning: string;
  kind: "number" | "whole" | "flag" | "text";
  low: number | null;
  high: number | null;
  open_low: boolean;
}

/** How far the source is read. */
export interface Reading {
  what: string;
  done: number;
  total: number;
}

/** New rows of the trace. */
export interface Rows {
  rows: TraceRow[];
}

/** Where the training is between two rows: epochs, and the mean loss since the last glimpse. */
export interface GlimpseMet {
  epoch: number;
  data_loss: number | null;
}

/** The report of a run was written, or could not be. */
export interface Reported {
  run: string;
}

/** The list of sources is another one now. */
export interface SourcesChanged {
  sources: SourceShown[];
  gone: string;
  why: string;
}

/** What a page shows of the class that it is in. */
export interface HallState {
  role: "lecturer" | "student";
  closed: string[];
  address: string;
  students: number;
  shown: string;
  turn: number;
  code: string[];
}

/** Why a student's page was not let in, in a sentence; its connection is closed. */
export interface NotAdmitted {
  why: string;
}

/** The answer to an upload: its key and all sources. */
export interface Uploaded {
  source: string;
  sources: SourceShown[];
}

/** The answer to a picture of the user's own: its key. */
export interface Kept {
  own: string;
}

/** The answer to an upload that is refused, in one sentence. */
export interface Refused {
  error: string;
}

/** The parameters and the answer of each method. */
export interface Methods {
  "playground.draw": [SampleRequest, Drawn];
  "playground.look": [LookRequest, Look];
  "playground.step": [StepsRequest, Steps];
  "playground.votes": [VotesRequest, Votes];
  "playground.landscape": [LandscapeRequest, Surface];
  "matrix.multiply": [MatrixRequest, Multiplied];
  "scores.explain": [ScoresRequest, Explained];
  "scores.target": [TargetRequest, Targeted];
  "gradient.check": [CheckRequest, Checked];
  "gradient.sweep": [SweepRequest, Swept];
  "gradient.move": [MoveRequest, Moved];
  "walks.surface": [SurfaceRequest, Shape];
  "walks.run": [WalksRequest, Path[]];
  "train.state": [NoParameters, TrainState];
  "train.describe": [DescribeRequest, Description];
  "train.start": [StartRequest, JobShown];
  "train.stop": [NoParameters, null];
  "train.finish": [NoParameters, null];
  "train.resume": [ResumeRequest, JobShown];
  "train.runs": [NoParameters, (RunShown | BrokenRun)[]];
  "train.traces": [TracesRequest, Record<string, TraceRow[]>];
  "train.templates": [RunRequest, Templates];
  "train.report": [RunRequest, ReportAddress];
  "train.look": [TrainLookRequest, null];
  "train.forget": [ForgetRequest, SourceShown[]];
  "inspect.state": [NoParameters, InspectState];
  "inspect.open": [OpenRequest, Opened];
  "inspect.grid": [GridRequest, GridPage];
  "inspect.look": [InspectionRequest, Inspection];
  "inspect.neighbours": [NeighboursRequest, Neighbours];
  "hall.show": [ShowRequest, null];
}

/** What the server sends of its own accord. */
export interface Events {
  "choices": Record<Kind, Choice[]>;
  "train.state": JobShown;
  "train.reading": Reading;
  "train.rows": Rows;
  "train.glimpse": GlimpseMet;
  "train.templates": Templates;
  "train.reported": Reported;
  "train.sources": SourcesChanged;
  "hall.state": HallState;
  "hall.refused": NotAdmitted;
}
