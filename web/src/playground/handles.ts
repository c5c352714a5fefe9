// Where the handles of all classes are shown, so that none lies on another. Pure functions.
import type { LineOf } from "./geometry";

type Place = readonly [number, number];

export interface Handle {
  part: "tip" | "grip";
  k: number;
}

export interface Shown {
  tip: Place;
  grip: Place;
}

/** Share of half the view within which handles stay. */
const EDGE = 0.96;

/** Rings of places around one that is taken. Of 12 handles, the other 11 never take all places, even in a corner. */
const RINGS = 10;

/** Places along a line that its square may have, as shares of half the view from the foot; the first that is free. */
const ALONG = [0.62, 0.74, 0.5, 0.86, 0.38, 0.26, -0.62, -0.74, -0.5, -0.86, -0.38, -0.26];

/**
 * The places of tips and squares, at least `gap` apart, each as near to its own as the others leave it: a square may be
 * anywhere on its line, a tip is moved aside. The handle `first`, which a hand holds, is never moved.
 */
export function shownHandles(lines: readonly LineOf[], limit: number, gap: number, first?: Handle): Shown[] {
  const taken: Place[] = [];
  const shown = lines.map(({ tip, grip }): { tip: Place; grip: Place } => ({ tip, grip }));
  const isFirst = (one: Handle) => one.part === first?.part && one.k === first.k;
  const order: Handle[] = (["tip", "grip"] as const).flatMap((part) => lines.map((_, k) => ({ part, k })));
  order.sort((one, other) => Number(isFirst(other)) - Number(isFirst(one)));
  const free = ([x, y]: Place) =>
    Math.max(Math.abs(x), Math.abs(y)) <= EDGE * limit + 1e-9 &&
    taken.every(([u, v]) => Math.hypot(x - u, y - v) >= gap - 1e-9);
  for (const { part, k } of order) {
    const line = lines[k]!;
    const own = [...(part === "grip" ? alongLine(line, limit) : []), line[part]];
    const place = own.find(free) ?? around(line[part], gap).find(free) ?? line[part];
    shown[k]![part] = place;
    taken.push(place);
  }
  return shown;
}

function alongLine({ foot, ends }: LineOf, limit: number): Place[] {
  if (!ends) return [];
  const [dx, dy] = [ends[2] - ends[0], ends[3] - ends[1]];
  const size = Math.hypot(dx, dy);
  // from the foot to the side on which the square is where nothing is in its way
  return ALONG.map((share) => [foot[0] - (share * limit * dx) / size, foot[1] - (share * limit * dy) / size]);
}

function around([x, y]: Place, gap: number): Place[] {
  const places: Place[] = [];
  for (let ring = 1; ring <= RINGS; ring += 1) {
    const n = 8 * ring;
    for (let i = 0; i < n; i += 1) {
      const angle = (2 * Math.PI * i) / n;
      places.push([x + gap * ring * Math.cos(angle), y + gap * ring * Math.sin(angle)]);
    }
  }
  return places;
}
