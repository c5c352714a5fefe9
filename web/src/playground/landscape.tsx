// The slice of the loss surface, with the path walked on it.
import { useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import type { Surface } from "../protocol";
import { unpacked } from "../socket";
import { theme } from "../theme";
import { More, Panel } from "../ui/controls";
import { shown } from "../ui/numbers";
import { useWidth } from "../ui/size";
import { surface, watchSurface } from "./surface";
import { walked } from "./walk";

const BANDS = 16;
/** Pixels of the canvas for each step of the grid, between which the heights are interpolated. */
const FINE = 8;

export function Landscape() {
  const [box, width] = useWidth<HTMLDivElement>(300);
  const canvas = useRef<HTMLCanvasElement>(null);
  useSignalEffect(watchSurface);
  useSignalEffect(() => paint(canvas.current, surface.value, theme.value === "dark"));
  const now = surface.value;
  const size = Math.min(width, 420);
  const at = ([x, y]: readonly [number, number]) => {
    const share = (value: number) => (0.5 + value / (2 * (now?.half ?? 1))) * size;
    return [share(x), size - share(y)] as const;
  };
  const path = now?.path.map(at) ?? [];
  const start = path[0];
  const end = path.at(-1);
  const middle = at([0, 0]);
  return (
    <Panel
      title="Loss surface"
      help={`A slice of L(W, b): ${theme.value === "dark" ? "brighter" : "darker"} is lower; the bands are steps of L on a logarithmic scale.`}
    >
      <div class="surface" ref={box}>
        <div class="plane" style={{ width: `${size}px`, height: `${size}px` }}>
          <canvas ref={canvas} width={41} height={41} aria-hidden="true" />
          <svg
            width={size}
            height={size}
            role="img"
            aria-label={
              now
                ? `Slice of the loss: minimum ${shown(now.minimum)}, ${path.length} points of the path`
                : "Slice of the loss"
            }
          >
            {path.length > 1 && (
              <path class="path" d={`M${path.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}`} />
            )}
            {path.length > 1 && path.length <= 60 && path.map(([x, y]) => <circle class="dot" cx={x} cy={y} r="2.2" />)}
            <path
              class="star"
              transform={`translate(${middle[0]} ${middle[1]})`}
              d="M0-8L2.2-2.6L8-2.4L3.4 1.2L5 7L0 3.6L-5 7L-3.4 1.2L-8-2.4L-2.2-2.6Z"
            />
            {start && <rect class="start" x={start[0] - 5} y={start[1] - 5} width="10" height="10" />}
            {end && <circle class="end" cx={end[0]} cy={end[1]} r="5.5" />}
          </svg>
        </div>
      </div>
      <small>
        ★ minimum{now && <>, L = {shown(now.minimum)}</>} · ■ start · ● {walked.value ? "now" : "here"}
      </small>
      <More title="Which slice is it?">
        <p>
          (W, b) has 3 K numbers; the slice is the plane through the minimum, the start of the walk, and the gradient at
          the start. What a walk does outside the plane is not seen: its points are projected.
        </p>
      </More>
    </Panel>
  );
}

export function paint(
  canvas: HTMLCanvasElement | null,
  now: Pick<Surface, "heights"> | undefined,
  dark: boolean,
): void {
  const context = canvas?.getContext("2d");
  if (!canvas || !context || !now) return;
  const heights = unpacked(now.heights);
  const { width, height } = now.heights;
  const side = FINE * (width - 1);
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const image = context.createImageData(side, side);
  // from the deep of the bowl to its rim
  const [low, high] = dark
    ? [
        [126, 190, 240],
        [29, 33, 41],
      ]
    : [
        [12, 68, 124],
        [244, 247, 250],
      ];
  for (let row = 0; row < side; row += 1) {
    const y = (side - 1 - row) / FINE;
    for (let column = 0; column < side; column += 1) {
      const x = column / FINE;
      const [i, j] = [Math.min(height - 2, Math.floor(y)), Math.min(width - 2, Math.floor(x))];
      const [v, u] = [y - i, x - j];
      const at = i * width + j;
      const level =
        (1 - v) * ((1 - u) * heights[at]! + u * heights[at + 1]!) +
        v * ((1 - u) * heights[at + width]! + u * heights[at + width + 1]!);
      const band = Math.min(BANDS - 1, Math.floor((level / 256) * BANDS));
      const t = (band / (BANDS - 1)) ** 0.8;
      const pixel = 4 * (row * side + column);
      for (let c = 0; c < 3; c += 1) image.data[pixel + c] = low![c]! + t * (high![c]! - low![c]!);
      image.data[pixel + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
}
