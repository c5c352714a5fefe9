// The settings of this page, all in its address, and the settings of a run made from them.
import { computed } from "@preact/signals";
import { choiceField, flagField, nameField, numberField, textField, wholeField } from "../fields";
import { objectiveFields, objectiveOf } from "../objective";
import type { SettingsRequest } from "../protocol";
import { linked } from "../route";
import { sources } from "./live";

export const SIZES = [
  ["as", "as they are"],
  ["8", "8 x 8"],
  ["16", "16 x 16"],
  ["24", "24 x 24"],
  ["32", "32 x 32"],
  ["48", "48 x 48"],
  ["64", "64 x 64"],
  ["96", "96 x 96"],
  ["128", "128 x 128"],
] as const;
export const AXES = [
  ["epoch", "epochs"],
  ["passes", "passes"],
  ["seconds", "seconds"],
] as const;
export const COMPARED = [
  ["objective", "objective"],
  ["train_accuracy", "training accuracy"],
  ["validation_accuracy", "validation accuracy"],
  ["gradient_norm", "gradient norm"],
] as const;

const keys = <T extends string>(choices: readonly (readonly [T, string])[]): readonly T[] =>
  choices.map(([key]) => key);

export const state = linked("train", {
  /** "" until it is known what there is: then the first, which is one that the command line named if it named any. */
  source: textField(""),
  size: choiceField("as", keys(SIZES)),
  ...objectiveFields({ loss: "softmax", beta: 1, reg: 1e-3, delta: 1e-6 }),
  optimizer: nameField("exact"),
  tol: numberField(1e-4, 1e-9, 1),
  max_iter: wholeField(1000, 0, 1_000_000),
  auto: flagField(true),
  rate: numberField(0.01, 1e-8, 100),
  batch: wholeField(32, 1, 100_000),
  epochs: wholeField(20, 1, 1_000_000),
  update: nameField("momentum"),
  schedule: nameField("cosine"),
  momentum: numberField(0.9, 0, 0.999),
  dropout: numberField(0, 0, 0.95),
  average: flagField(false),
  patience: wholeField(0, 0, 10_000),
  features: nameField("pixels"),
  flips: flagField(false),
  patches: wholeField(500, 2, 100_000),
  preprocess: nameField("auto"),
  validation: numberField(0.1, 0, 0.9),
  seed: wholeField(0, 0, 2 ** 31 - 1),
  skip: flagField(false),
  x: choiceField("epoch", keys(AXES)),
  view: choiceField("color", ["color", "signed"] as const),
  runs: textField(""),
  metric: choiceField("objective", keys(COMPARED)),
});

const builtIn = computed(() => sources.value.find((one) => one.key === state.source.value)?.kind === "built-in");
/** The size in which the source is read; sets that come with linprobe have one of their own, and no control for it. */
export const imageSize = computed(() =>
  state.size.value === "as" || builtIn.value ? null : ([Number(state.size.value), Number(state.size.value)] as const),
);
/** Whether broken pictures are left out. */
export const skipBad = computed(() => state.skip.value && !builtIn.value);
/** The runs whose curves are compared. */
export const chosenRuns = computed(() => state.runs.value.split("/").filter(Boolean));

/** As train.start takes them. */
export const settings = (): SettingsRequest => ({
  ...objectiveOf(state),
  optimizer: state.optimizer.peek(),
  preprocess: state.preprocess.peek(),
  tol: state.tol.peek(),
  max_iter: state.max_iter.peek(),
  batch_size: state.batch.peek(),
  epochs: state.epochs.peek(),
  learning_rate: state.auto.peek() ? undefined : state.rate.peek(),
  schedule: state.schedule.peek(),
  update: state.update.peek(),
  momentum: state.momentum.peek(),
  dropout: state.dropout.peek(),
  average: state.average.peek(),
  patience: state.patience.peek() > 0 ? state.patience.peek() : undefined,
  features: state.features.peek(),
  flips: state.flips.peek(),
  patches: state.features.peek() === "patches" ? state.patches.peek() : undefined,
  validation: state.validation.peek(),
  seed: state.seed.peek(),
  image_size: imageSize.peek(),
  skip_bad: skipBad.peek(),
});
