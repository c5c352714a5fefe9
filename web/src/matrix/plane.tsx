// The geometric viewpoint: the plane of two pixels, the line of each class, and the picture as a point to drag.
import { useRef } from "preact/hooks";
import { classColor } from "../classes";
import { asText } from "../fields";
import { arrowKey } from "../playground/geometry";
import type { Multiplied } from "../protocol";
import { Panel, Select } from "../ui/controls";
import { shown } from "../ui/numbers";
import { useWidth } from "../ui/size";
import { ticksOf } from "../ui/ticks";
import { across, D, half, held, name, setPixel, state, up, x } from "./state";

const PIXELS = Array.from({ length: D }, (_, d) => [String(d), `x${d + 1}`] as const);

export function Plane({ result }: { result: Multiplied }) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const dragged = useRef(false);
  const side = Math.min(width, 420);
  const px = (value: number) => ((value + half.value) / (2 * half.value)) * side;
  const py = (value: number) => side - px(value);
  const move = (event: PointerEvent) => {
    const box = ref.current!.querySelector("svg")!.getBoundingClientRect();
    const at = (share: number) => Math.round((2 * Math.min(1, Math.max(0, share)) - 1) * half.value);
    setPixel(across.value, at((event.clientX - box.left) / box.width));
    setPixel(up.value, at(1 - (event.clientY - box.top) / box.height));
  };
  const end = () => {
    dragged.current = false;
    held.value = undefined;
  };
  const point = [x.value[across.value]!, x.value[up.value]!] as const;
  return (
    <Panel
      title="The same as lines"
      help="Where the score of a class is 0, while the other two pixels stay. Drag the picture, the ring."
    >
      <div class="row">
        <Select label="across" value={asText(state.across, () => across.value)} choices={PIXELS} />
        <Select
          label="up"
          value={asText(state.up, () => up.value)}
          choices={PIXELS.filter(([d]) => Number(d) !== across.value)}
        />
      </div>
      <div ref={ref}>
        {/* biome-ignore lint/a11y/noSvgWithoutTitle: the point in it is a control with a label of its own */}
        <svg class="pixel-plane" width={side} height={side}>
          {ticksOf(-half.value, half.value, 5).map((tick) => (
            <g class="tick">
              <line x1={px(tick)} x2={px(tick)} y1={0} y2={side} />
              <line x1={0} x2={side} y1={py(tick)} y2={py(tick)} />
              <text x={px(tick) + 3} y={side - 4}>
                {shown(tick, 3)}
              </text>
            </g>
          ))}
          {result.lines.map(
            (line, k) =>
              line && (
                <line
                  class="class-zero"
                  data-line={k}
                  x1={px(line[0])}
                  y1={py(line[1])}
                  x2={px(line[2])}
                  y2={py(line[3])}
                  stroke={classColor(k)}
                />
              ),
          )}
          <g
            class="picture-point"
            role="button"
            tabindex={0}
            aria-label={`the picture at x${across.value + 1} = ${point[0]}, x${up.value + 1} = ${point[1]}; arrow keys move it`}
            transform={`translate(${px(point[0])} ${py(point[1])})`}
            onKeyDown={(event) => {
              const by = arrowKey(event.key, (half.value / 100) * (event.shiftKey ? 10 : 1));
              if (!by) return;
              event.preventDefault();
              setPixel(across.value, point[0] + by[0]);
              setPixel(up.value, point[1] + by[1]);
            }}
            onPointerDown={(event) => {
              event.preventDefault();
              event.currentTarget.focus();
              event.currentTarget.setPointerCapture(event.pointerId);
              held.value = half.value;
              dragged.current = true;
            }}
            onPointerMove={(event) => {
              if (dragged.current) move(event);
            }}
            onPointerUp={end}
            onPointerCancel={end}
          >
            <circle class="halo" r="16" />
            <circle class="ring" r="8" />
          </g>
        </svg>
      </div>
      <p class="muted">
        {result.lines.map((line, k) => (line ? "" : `The line of ${name(k)} is outside of the view. `)).join("")}
      </p>
    </Panel>
  );
}
