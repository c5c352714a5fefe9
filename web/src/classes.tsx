// Classes as colours and shapes: those of linprobe.explain.picture, so that the classes differ without colours, too.
export const CLASS_COLORS = [
  "#0072b2",
  "#e69f00",
  "#009e73",
  "#cc79a7",
  "#56b4e9",
  "#d55e00",
  "#8f6bb8",
  "#8c7a00",
  "#4d4d4d",
  "#7aa6a1",
] as const;

/** The CSS variable of a class's colour, which is lighter on a dark page. */
export const classColor = (k: number): string => `var(--class-${k % CLASS_COLORS.length})`;

const star = (points: number, outer: number, inner: number): string => {
  const corners = Array.from({ length: 2 * points }, (_, i) => {
    const r = i % 2 ? inner : outer;
    const a = (Math.PI * i) / points - Math.PI / 2;
    return `${(r * Math.cos(a)).toFixed(2)} ${(r * Math.sin(a)).toFixed(2)}`;
  });
  return `M${corners.join("L")}Z`;
};
const polygon = (corners: number, r: number): string => {
  const at = (i: number) => (2 * Math.PI * i) / corners - Math.PI / 2;
  return `M${Array.from({ length: corners }, (_, i) => `${(r * Math.cos(at(i))).toFixed(2)} ${(r * Math.sin(at(i))).toFixed(2)}`).join("L")}Z`;
};

const SHAPES = [
  "M-5 0A5 5 0 1 1 5 0A5 5 0 1 1-5 0Z",
  "M-4.5-4.5H4.5V4.5H-4.5Z",
  "M0-5.8L5.4 4.4H-5.4Z",
  "M0-6L5.2 0L0 6L-5.2 0Z",
  "M0 5.8L5.4-4.4H-5.4Z",
  "M-1.8-5.2H1.8V-1.8H5.2V1.8H1.8V5.2H-1.8V1.8H-5.2V-1.8H-1.8Z",
  "M-5-2.6L-2.6-5L0-2.4L2.6-5L5-2.6L2.4 0L5 2.6L2.6 5L0 2.4L-2.6 5L-5 2.6L-2.4 0Z",
  polygon(5, 5.6),
  polygon(6, 5.6),
  star(5, 6.4, 2.7),
] as const;

/** The path of a class's shape, about 10 wide around the origin. */
export const classShape = (k: number): string => SHAPES[k % SHAPES.length]!;

/** A small mark of the class, to stand in a text. */
export function ClassMark({ k }: { k: number }) {
  return (
    <svg class="mark" viewBox="-7 -7 14 14" aria-hidden="true">
      <path d={classShape(k)} fill={classColor(k)} />
    </svg>
  );
}
