// The slice of the loss surface, requested when the hand rests.
import { signal } from "@preact/signals";
import type { Surface } from "../protocol";
import { connections, say, stream } from "../socket";
import { b, failure, problem, running, W } from "./state";
import { walked } from "./walk";

export const surface = signal<Surface | undefined>(undefined);

const askSurface = stream(
  "playground.landscape",
  (result) => {
    surface.value = result;
  },
  say(failure),
);

let rest: ReturnType<typeof setTimeout> | undefined;

/** Ask for the slice when the hand rests: it takes longer than a frame. */
export function watchSurface(): void {
  void connections.value;
  const now = problem.value;
  const walk = walked.value;
  const here = { W: [W.value], b: [b.value] };
  clearTimeout(rest);
  if (now.points.length < 1) return;
  const path = walk ?? here;
  const every = Math.max(1, Math.ceil(path.W.length / 150));
  const kept = path.W.map((_, i) => i).filter((i) => i % every === 0 || i === path.W.length - 1);
  const params = { ...now, path_W: kept.map((i) => path.W[i]!), path_b: kept.map((i) => path.b[i]!), size: 41 };
  rest = setTimeout(() => askSurface(params), running.value ? 0 : 150);
}
