// The regions of the classes, painted on a canvas below the points.
import { computed } from "@preact/signals";
import { CLASS_COLORS } from "../classes";
import type { Packed } from "../protocol";
import { unpacked } from "../socket";
import { theme } from "../theme";
import { seen } from "./look";
import { state } from "./state";

/** The region canvas has this many pixels for each cell of the grid: enough for stripes. */
const FINE = 3;

type Rgb = [number, number, number];

/** The classes' colours of the theme, read once for each: it makes the browser work out the style of the page. */
const tints = computed((): Rgb[] => {
  void theme.value;
  const style = getComputedStyle(document.documentElement);
  return CLASS_COLORS.map((_, k) => {
    const hex = style.getPropertyValue(`--class-${k}`).trim();
    return [1, 3, 5].map((i) => Number.parseInt(hex.slice(i, i + 2), 16)) as Rgb;
  });
});

/** Regions of the plane; in "both" places where the neighbours choose another class are striped in its colour. */
export function paint(canvas: HTMLCanvasElement | null): void {
  const look = seen.value;
  const mode = state.regions.value;
  const base = mode === "none" ? undefined : mode === "knn" ? look?.neighbors : look?.regions;
  paintCells(canvas, base, mode === "both" ? look?.neighbors : undefined);
}

/** Cells as a tint of their classes' colours, with stripes where those of `over` are of another class. */
export function paintCells(canvas: HTMLCanvasElement | null, base?: Packed | null, over?: Packed | null): void {
  const tint = theme.value === "dark" ? 70 : 56;
  const context = canvas?.getContext("2d");
  if (!canvas || !context) return;
  if (!base) {
    context.clearRect(0, 0, canvas.width, canvas.height);
    return;
  }
  const colors = tints.value;
  const cells = unpacked(base);
  const above = over && unpacked(over);
  const scale = over ? FINE : 1;
  const [w, h] = [base.width * scale, base.height * scale];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const image = context.createImageData(w, h);
  const stripe = w / 30;
  for (let row = 0; row < h; row += 1) {
    const up = h - 1 - row; // row 0 of a grid is the lowest
    for (let column = 0; column < w; column += 1) {
      const own = cells[Math.floor(up / scale) * base.width + Math.floor(column / scale)]!;
      let k = own;
      let alpha = tint;
      if (over && above) {
        const other = above[Math.floor((up * over.height) / h) * over.width + Math.floor((column * over.width) / w)]!;
        if (other !== own && (row + column) % stripe < 0.5 * stripe) {
          k = other;
          alpha = 3 * tint;
        }
      }
      const [r, g, blue] = colors[k] ?? [128, 128, 128];
      const at = 4 * (row * w + column);
      image.data[at] = r;
      image.data[at + 1] = g;
      image.data[at + 2] = blue;
      image.data[at + 3] = alpha;
    }
  }
  context.putImageData(image, 0, 0);
}
