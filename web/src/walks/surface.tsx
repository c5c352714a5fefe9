// The surface from above: bands of the loss, the minima, and the walks up to the step that is shown.
import { useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { arrowKey } from "../playground/geometry";
import { paint } from "../playground/landscape";
import { theme } from "../theme";
import { Panel } from "../ui/controls";
import { useWidth } from "../ui/size";
import { COLORS, paths, place, shape, shownAt, state } from "./state";

export function Ground() {
  const [box, width] = useWidth<HTMLDivElement>(300);
  const canvas = useRef<HTMLCanvasElement>(null);
  useSignalEffect(() => paint(canvas.current, shape.value, theme.value === "dark"));
  const now = shape.value;
  const size = Math.min(width, 470);
  // before the surface is there: the frame alone, whose width is measured
  const [[x0, y0], [x1, y1]] = [now?.low ?? [0, 0], now?.high ?? [1, 1]];
  const [across, up] = now?.names ?? ["", ""];
  const px = (x: number) => ((x - x0) / (x1 - x0)) * size;
  const py = (y: number) => size - ((y - y0) / (y1 - y0)) * size;
  const start = [px(state.x.value), py(state.y.value)] as const;
  const press = (event: MouseEvent) => {
    const frame = box.current!.querySelector("svg")!.getBoundingClientRect();
    const right = (event.clientX - frame.left) / frame.width;
    const high = 1 - (event.clientY - frame.top) / frame.height;
    place(x0 + right * (x1 - x0), y0 + high * (y1 - y0));
  };
  return (
    <Panel
      title="The surface"
      help={`Press to place the start, or move it with the arrow keys. ${theme.value === "dark" ? "Brighter" : "Darker"} is lower.`}
    >
      <div class="surface" ref={box}>
        <div class="plane" style={{ width: `${size}px`, height: `${size}px` }}>
          <canvas ref={canvas} width={61} height={61} aria-hidden="true" />
          {/* biome-ignore lint/a11y/noSvgWithoutTitle: the start in it is a control with a label of its own */}
          <svg width={size} height={size} class="walks-plane" onClick={press}>
            {now?.minima.map(([x, y]) => (
              <path
                class="star"
                transform={`translate(${px(x)} ${py(y)})`}
                d="M0-8L2.2-2.6L8-2.4L3.4 1.2L5 7L0 3.6L-5 7L-3.4 1.2L-8-2.4L-2.2-2.6Z"
              />
            ))}
            {paths.value.map((path, i) => {
              const places = path.weights.slice(0, shownAt.value + 1).map(([x, y]) => [px(x), py(y)] as const);
              const last = places.at(-1) ?? start;
              return (
                <g style={{ color: COLORS[i] }} data-walk={i}>
                  <path class="walk" d={`M${places.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}`} />
                  <circle class="walker" cx={last[0]} cy={last[1]} r="6" />
                </g>
              );
            })}
            <g
              role="button"
              tabindex={0}
              aria-label={`start at ${across} = ${state.x.value}, ${up} = ${state.y.value}; arrow keys move it`}
              onKeyDown={(event) => {
                const by = arrowKey(event.key, event.shiftKey ? 0.05 : 0.005);
                if (!by) return;
                event.preventDefault();
                place(state.x.value + by[0] * (x1 - x0), state.y.value + by[1] * (y1 - y0));
              }}
            >
              <rect class="start" x={start[0] - 5} y={start[1] - 5} width="10" height="10" />
            </g>
          </svg>
        </div>
      </div>
      <small>
        ★ minimum · ■ start. Across {across}, up {up}.
      </small>
    </Panel>
  );
}
