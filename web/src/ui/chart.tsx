// Lines over a common x: small, drawn anew with every update, readable without colour by marks and dashes.
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { classColor, classShape } from "../classes";
import { shown } from "./controls";

export interface Series {
  name: string;
  /** Number of its colour and its shape. */
  k: number;
  x: readonly number[];
  /** NaN where there is no value. */
  y: readonly number[];
  dashed?: boolean;
  /** Points alone, as for a value that is known once. */
  dots?: boolean;
}

interface ChartProps {
  title: string;
  x: string;
  series: readonly Series[];
  log?: boolean;
  /** Values that must be inside, as 0 and 1 of a share. */
  low?: number;
  high?: number;
  /** A value to reach. */
  line?: { value: number; name: string } | undefined;
  percent?: boolean;
  height?: number;
}

const LEFT = 52;
const RIGHT = 12;
const TOP = 8;
const BOTTOM = 30;
const MOST_POINTS = 400;

function steps(low: number, high: number, count: number): number[] {
  const raw = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((f) => f * power).find((s) => s >= raw * 0.999) ?? raw;
  const first = Math.ceil(low / step - 1e-9);
  const found: number[] = [];
  for (let i = first; i * step <= high + step * 1e-9 && found.length < 20; i += 1) found.push(i * step);
  return found;
}

function decades(low: number, high: number, count: number): number[] {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const stride = Math.max(1, Math.ceil((last - first + 1) / count));
  const found: number[] = [];
  for (let e = first; e <= last; e += stride) found.push(10 ** e);
  return found;
}

/** The points that are finite (and positive on a log axis), evenly thinned, the last one always there. */
function points(series: Series, log: boolean): [number, number][] {
  const all: [number, number][] = [];
  const n = Math.min(series.x.length, series.y.length);
  for (let i = 0; i < n; i += 1) {
    const x = series.x[i]!;
    const y = series.y[i]!;
    if (Number.isFinite(x) && Number.isFinite(y) && (!log || y > 0)) all.push([x, y]);
  }
  const stride = Math.ceil(all.length / MOST_POINTS);
  return stride <= 1 ? all : all.filter((_, i) => i % stride === 0 || i === all.length - 1);
}

export function Chart({ title, x, series, log = false, low, high, line, percent, height = 190 }: ChartProps) {
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(420);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(Math.max(200, element.clientWidth)));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const drawn = series.map((one) => ({ ...one, points: points(one, log) })).filter((one) => one.points.length > 0);
  const xs = drawn.flatMap((one) => one.points.map((p) => p[0]));
  const ys = drawn.flatMap((one) => one.points.map((p) => p[1]));
  if (line) ys.push(line.value);
  if (low !== undefined) ys.push(low);
  if (high !== undefined) ys.push(high);
  const empty = xs.length === 0;
  let [x0, x1] = empty ? [0, 1] : [Math.min(...xs), Math.max(...xs)];
  let [y0, y1] = empty ? [log ? 1e-4 : 0, 1] : [Math.min(...ys), Math.max(...ys)];
  if (x1 <= x0) x1 = x0 + 1;
  if (log) {
    if (y1 < y0 * 10) [y0, y1] = [y0 / 2, y1 * 5];
  } else if (y1 <= y0) [y0, y1] = [y0 - 0.5, y1 + 0.5];
  else if (low === undefined) y0 -= 0.04 * (y1 - y0);

  const scaleY = (v: number): number => {
    const share = log ? Math.log(v / y0) / Math.log(y1 / y0) : (v - y0) / (y1 - y0);
    return height - BOTTOM - share * (height - TOP - BOTTOM);
  };
  const scaleX = (v: number): number => LEFT + ((v - x0) / (x1 - x0)) * (width - LEFT - RIGHT);
  const text = (v: number): string => (percent ? `${shown(100 * v, 3)}%` : shown(v, 3));
  const yTicks = log ? decades(y0, y1, 5) : steps(y0, y1, 4);
  const xTicks = steps(x0, x1, Math.max(2, Math.floor(width / 90)));
  const last = drawn.map((one) => `${one.name} ${text(one.points.at(-1)![1])}`).join(", ");

  return (
    <figure class="chart" aria-labelledby={id}>
      <figcaption id={id}>{title}</figcaption>
      <div ref={box}>
        <svg
          viewBox={`0 0 ${width} ${height}`} width={width} height={height} role="img"
          aria-label={empty ? `${title}: nothing yet` : `${title} over ${x}; last: ${last}`}
        >
          {yTicks.map((v) => (
            <g>
              <line class="grid" x1={LEFT} x2={width - RIGHT} y1={scaleY(v)} y2={scaleY(v)} />
              <text class="tick" x={LEFT - 6} y={scaleY(v) + 4} text-anchor="end">{text(v)}</text>
            </g>
          ))}
          {xTicks.map((v) => (
            <text class="tick" x={scaleX(v)} y={height - BOTTOM + 14} text-anchor="middle">{shown(v, 4)}</text>
          ))}
          <text class="tick" x={width - RIGHT} y={height - 3} text-anchor="end">{x}</text>
          {line && !empty && (
            <g>
              <line class="aim" x1={LEFT} x2={width - RIGHT} y1={scaleY(line.value)} y2={scaleY(line.value)} />
              <text class="tick" x={width - RIGHT} y={scaleY(line.value) - 4} text-anchor="end">{line.name}</text>
            </g>
          )}
          {drawn.map((one) => (
            <g>
              {!one.dots && (
                <path
                  class={one.dashed ? "line dashed" : "line"} stroke={classColor(one.k)}
                  d={`M${one.points.map(([a, b]) => `${scaleX(a).toFixed(1)} ${scaleY(b).toFixed(1)}`).join("L")}`}
                />
              )}
              {(one.dots ? one.points : one.points.slice(-1)).map(([a, b]) => (
                <path class="point" d={classShape(one.k)} fill={classColor(one.k)} transform={`translate(${scaleX(a).toFixed(1)} ${scaleY(b).toFixed(1)}) scale(0.8)`} />
              ))}
            </g>
          ))}
          {empty && <text class="tick" x={width / 2} y={height / 2} text-anchor="middle">nothing yet</text>}
        </svg>
      </div>
      {drawn.length > 0 && (
        <ul class="legend">
          {drawn.map((one) => (
            <li>
              <svg class="mark" viewBox="-7 -7 14 14" aria-hidden="true"><path d={classShape(one.k)} fill={classColor(one.k)} /></svg>
              {one.name} <b>{text(one.points.at(-1)![1])}</b>
            </li>
          ))}
        </ul>
      )}
    </figure>
  );
}
