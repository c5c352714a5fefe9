// The plane: regions on a canvas, lines and points in SVG above it; all of them can be dragged, or moved by keys.
import { useComputed, useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { shown } from "../ui/numbers";
import { useWidth } from "../ui/size";
import { ticksOf } from "../ui/ticks";
import { Borders } from "./borders";
import { addPoint } from "./edits";
import { lineOf } from "./geometry";
import { lastHandle } from "./gestures";
import { shownHandles } from "./handles";
import { ClassHandles, ClassLine } from "./line";
import { predictedNow } from "./look";
import { Mark } from "./mark";
import { paint } from "./regions";
import { b, half, points, selected, state, W } from "./state";
import { adding, newLabel } from "./tools";
import { walked } from "./walk";

/** Pixels between the middles of two handles, at least: each has a disc of radius 11 for the hand. */
const HANDLE_GAP = 24;

export function Plot() {
  const [box, width] = useWidth<HTMLDivElement>(560);
  const canvas = useRef<HTMLCanvasElement>(null);
  const size = Math.min(width, 640);
  const limit = half.value;
  const px = (x: number) => ((x + limit) / (2 * limit)) * size;
  const py = (y: number) => ((limit - y) / (2 * limit)) * size;

  useSignalEffect(() => paint(canvas.current));

  // Asked once for each press: within a drag the question would have the browser lay out the page at every move.
  const where = useRef<DOMRect | undefined>(undefined);
  const press = (event: Event & { currentTarget: SVGSVGElement }) => {
    where.current = event.currentTarget.getBoundingClientRect();
  };
  const place = (event: PointerEvent | MouseEvent): [number, number] => {
    const rect = where.current!;
    return [
      ((event.clientX - rect.left) / rect.width) * 2 * limit - limit,
      limit - ((event.clientY - rect.top) / rect.height) * 2 * limit,
    ];
  };

  const add = (event: MouseEvent) => {
    const [x, y] = place(event);
    addPoint(x, y, newLabel.value);
  };

  const wrong = useComputed(() => {
    const found = new Set<number>();
    predictedNow()?.forEach((k, i) => {
      if (points.value[i] && k !== points.value[i].label) found.add(i);
    });
    return found;
  });
  const batch = new Set(walked.value?.batch ?? []);
  const lines = state.lines.value ? W.value.map((w, k) => lineOf(w, b.value[k]!, limit)) : [];
  const handles = shownHandles(lines, limit, (HANDLE_GAP * 2 * limit) / size, lastHandle.value);
  return (
    <div class="plot" ref={box}>
      <div class="plane" style={{ width: `${size}px`, height: `${size}px` }}>
        <canvas ref={canvas} width={1} height={1} aria-hidden="true" />
        <svg
          width={size}
          height={size}
          viewBox={`0 0 ${size} ${size}`}
          role="group"
          aria-label="the plane, with points and lines"
          class={adding.value ? "adding" : ""}
          onPointerDownCapture={press}
          onDblClick={add}
          onClick={(event) => adding.value && add(event)}
        >
          <Ticks size={size} limit={limit} px={px} py={py} />
          <Borders px={px} py={py} />
          {lines.map((line, k) => (
            <ClassLine k={k} line={line} shown={handles[k]!} px={px} py={py} place={place} limit={limit} />
          ))}
          {points.value.map((p, i) => (
            <Mark
              key={i}
              i={i}
              n={points.value.length}
              point={p}
              left={px(p.x)}
              top={py(p.y)}
              wrong={wrong.value.has(i)}
              chosen={i === selected.value}
              batch={batch.has(i)}
              place={place}
            />
          ))}
          {lines.map((line, k) => (
            <ClassHandles k={k} line={line} shown={handles[k]!} px={px} py={py} place={place} limit={limit} />
          ))}
        </svg>
      </div>
      <small class="touch-hint">Tap a point, then drag it. A swipe scrolls.</small>
    </div>
  );
}

interface TicksProps {
  size: number;
  limit: number;
  px: (x: number) => number;
  py: (y: number) => number;
}

function Ticks({ size, limit, px, py }: TicksProps) {
  return (
    <>
      {ticksOf(-limit, limit, 6).map((t) => (
        <g class="tick">
          <line class={t === 0 ? "zero" : ""} x1={px(t)} x2={px(t)} y1={0} y2={size} />
          <line class={t === 0 ? "zero" : ""} y1={py(t)} y2={py(t)} x1={0} x2={size} />
          {t !== 0 && Math.abs(t) < 0.93 * limit && (
            <text x={px(t)} y={size - 5} text-anchor="middle">
              {shown(t, 2)}
            </text>
          )}
          {t !== 0 && Math.abs(t) < 0.93 * limit && (
            <text x={5} y={py(t) + 4}>
              {shown(t, 2)}
            </text>
          )}
        </g>
      ))}
      <text class="axis" x={size - 6} y={size - 5} text-anchor="end">
        x₁
      </text>
      <text class="axis" x={5} y={14}>
        x₂
      </text>
    </>
  );
}
