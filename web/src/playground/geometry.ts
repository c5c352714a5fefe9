// Where the line and the arrow of a class lie in the plane. Pure functions.

/** Share of half the view that the arrow of a weight vector of length 1 has. */
const ARROW = 0.42;

/** The length of an arrow, as a share of half the view, for a weight vector of this length; it never leaves the view. */
export const arrowOf = (size: number) => (ARROW * 2 * size) / (1 + size);

/** The length of the weight vector whose arrow is that share of half the view. */
export const sizeOf = (arrow: number) => {
  const share = Math.min(0.985, arrow / (ARROW * 2));
  return share / (1 - share);
};

export interface LineOf {
  /** The point of the line s_k = 0 that is nearest to the middle, kept inside the view. */
  foot: [number, number];
  tip: [number, number];
  /** Where the line is held: away from its foot, at which the lines of all classes may meet. */
  grip: [number, number];
  ends: [number, number, number, number] | undefined;
}

export function lineOf(w: readonly number[], bias: number, limit: number): LineOf {
  const [wx, wy] = [w[0]!, w[1]!];
  const size = Math.hypot(wx, wy);
  if (size < 1e-9) return { foot: [0, 0], tip: [0, 0.06 * limit], grip: [0, 0], ends: undefined };
  const away = -bias / size;
  const [ux, uy] = [wx / size, wy / size];
  const reach = Math.min(0.97 * limit, Math.max(-0.97 * limit, away));
  const foot: [number, number] = [ux * reach, uy * reach];
  const arrow = arrowOf(size) * limit;
  const keep = (value: number) => Math.min(0.96 * limit, Math.max(-0.96 * limit, value));
  const along = 0.62 * limit;
  const far = 3 * limit;
  return {
    foot,
    tip: [keep(foot[0] + ux * arrow), keep(foot[1] + uy * arrow)],
    grip: [keep(foot[0] - uy * along), keep(foot[1] + ux * along)],
    ends: [ux * away - uy * far, uy * away + ux * far, ux * away + uy * far, uy * away - ux * far],
  };
}

/** The row of W that an arrow from the foot to (dx, dy) stands for; undefined for one without a direction. */
export function weightsOf(dx: number, dy: number, limit: number): [number, number] | undefined {
  const arrow = Math.hypot(dx, dy);
  if (arrow < 1e-6) return undefined;
  const length = sizeOf(arrow / limit);
  return [(dx / arrow) * length, (dy / arrow) * length];
}

/** A row of W after an arrow key: left and right turn it by so many degrees, up and down lengthen it. */
export function turned(w: readonly [number, number], key: string, degrees: number): [number, number] | undefined {
  const angle = { ArrowLeft: 1, ArrowRight: -1 }[key];
  const grow = { ArrowUp: 1.05, ArrowDown: 1 / 1.05 }[key];
  if (angle === undefined && grow === undefined) return undefined;
  const a = Math.atan2(w[1], w[0]) + (angle ?? 0) * (Math.PI / 180) * degrees;
  const length = Math.max(Math.hypot(w[0], w[1]), 0.05) * (grow ?? 1);
  return [length * Math.cos(a), length * Math.sin(a)];
}

/** What an arrow key adds to a place; undefined for another key. */
export function arrowKey(key: string, by: number): readonly [number, number] | undefined {
  const arrows: Record<string, [number, number]> = {
    ArrowLeft: [-by, 0],
    ArrowRight: [by, 0],
    ArrowUp: [0, by],
    ArrowDown: [0, -by],
  };
  return arrows[key];
}
