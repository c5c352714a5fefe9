// Lines over an axis, in SVG: linear or logarithmic, each line with a colour and a dash of its own.
import { useRef } from "preact/hooks";
import { textScale } from "../theme";
import { shown } from "./numbers";
import { useWidth } from "./size";
import { power, powersOf, ticksOf } from "./ticks";

export interface Line {
  name: string;
  color: string;
  dash?: string;
  x: readonly number[];
  y: readonly (number | null)[];
  /** Where true, the point is drawn as a hollow ring: a kink, an odd one. */
  rings?: readonly boolean[];
}

interface Axis {
  label: string;
  log?: boolean;
  low?: number;
  high?: number;
}

interface ChartProps {
  lines: readonly Line[];
  x: Axis;
  y: Axis;
  height?: number;
  /** What the chart shows, for those who cannot see it. */
  alt: string;
  /** A vertical line, and what is written at it. */
  marker?: number | undefined;
  /** A press or a drag over the chart names an abscissa. */
  onPick?: (x: number) => void;
}

const finite = (value: number | null | undefined): value is number =>
  value !== null && value !== undefined && Number.isFinite(value);

export function Chart({ lines, x, y, height = 220, alt, marker, onPick }: ChartProps) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const dragging = useRef(false);
  const text = textScale.value;
  const left = 14 + 38 * text;
  const right = 16 * text;
  const top = 10;
  const bottom = 38 * text;
  const inside = (value: number | null, axis: Axis): value is number => finite(value) && (!axis.log || value > 0);
  const all = (axis: Axis, of: "x" | "y"): [number, number] => {
    let low = axis.low ?? Number.POSITIVE_INFINITY;
    let high = axis.high ?? Number.NEGATIVE_INFINITY;
    for (const line of lines) {
      for (const value of line[of]) {
        if (!inside(value, axis)) continue;
        if (axis.low === undefined && value < low) low = value;
        if (axis.high === undefined && value > high) high = value;
      }
    }
    if (!Number.isFinite(low) || !Number.isFinite(high)) [low, high] = axis.log ? [0.1, 1] : [0, 1];
    // values that differ by rounding alone would have no ticks between them
    if (high - low <= 1e-9 * Math.max(Math.abs(low), Math.abs(high)))
      [low, high] = axis.log ? [low / 2, low * 2] : [low - 0.5, low + 0.5];
    return [low, high];
  };
  const [x0, x1] = all(x, "x");
  const [y0, y1] = all(y, "y");
  const share = (value: number, low: number, high: number, log?: boolean) =>
    log ? (Math.log10(value) - Math.log10(low)) / (Math.log10(high) - Math.log10(low)) : (value - low) / (high - low);
  const across = (value: number) => {
    const part = share(value, x0, x1, x.log);
    return left + part * (width - left - right);
  };
  const up = (value: number) => height - bottom - share(value, y0, y1, y.log) * (height - top - bottom);
  const xTicks = x.log ? powersOf(x0, x1, (width - left) / (46 * text)) : ticksOf(x0, x1, (width - left) / (70 * text));
  const yTicks = y.log ? powersOf(y0, y1, height / (34 * text)) : ticksOf(y0, y1, height / (46 * text));
  const path = (line: Line): string => {
    let pen = "M";
    let text = "";
    line.x.forEach((at, i) => {
      const value = line.y[i] ?? null;
      if (!inside(value, y) || !inside(at, x)) {
        pen = "M";
        return;
      }
      text += `${pen}${across(at).toFixed(1)} ${up(Math.min(y1 * (y.log ? 1.0001 : 1), Math.max(y0, value))).toFixed(1)}`;
      pen = "L";
    });
    return text;
  };
  const pick = (event: PointerEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const part = Math.min(1, Math.max(0, (event.clientX - box.left - left) / (width - left - right)));
    onPick?.(x.log ? 10 ** (Math.log10(x0) + part * (Math.log10(x1) - Math.log10(x0))) : x0 + part * (x1 - x0));
  };
  return (
    <figure class="chart" ref={ref}>
      <figcaption>
        {lines.map((line) => (
          <span class="key">
            <svg width="26" height="10" aria-hidden="true">
              <line x1="0" x2="26" y1="5" y2="5" stroke={line.color} stroke-width="2.4" stroke-dasharray={line.dash} />
            </svg>
            {line.name}
          </span>
        ))}
      </figcaption>
      <svg
        width={width}
        height={height}
        role="img"
        aria-label={alt}
        class={onPick ? "pickable" : ""}
        onPointerDown={
          onPick &&
          ((event) => {
            dragging.current = true;
            event.currentTarget.setPointerCapture(event.pointerId);
            pick(event);
          })
        }
        onPointerMove={
          onPick &&
          ((event) => {
            if (dragging.current) pick(event);
          })
        }
        onPointerUp={() => {
          dragging.current = false;
        }}
      >
        {yTicks.map((tick) => (
          <g class="tick">
            <line x1={left} x2={width - right} y1={up(tick)} y2={up(tick)} />
            <text x={left - 7} y={up(tick) + 4 * text} text-anchor="end">
              {y.log ? power(tick) : shown(tick, 3)}
            </text>
          </g>
        ))}
        {xTicks.map((tick) => (
          <g class="tick">
            <line x1={across(tick)} x2={across(tick)} y1={top} y2={height - bottom} />
            <text x={across(tick)} y={height - bottom + 16 * text} text-anchor="middle">
              {x.log ? power(tick) : shown(tick, 3)}
            </text>
          </g>
        ))}
        <text class="axis" x={(left + width - right) / 2} y={height - 4} text-anchor="middle">
          {x.label}
        </text>
        <text
          class="axis"
          transform={`translate(${12 * text} ${(height - bottom + top) / 2}) rotate(-90)`}
          text-anchor="middle"
        >
          {y.label}
        </text>
        {finite(marker) && marker >= x0 && marker <= x1 && (
          <line class="marker" x1={across(marker)} x2={across(marker)} y1={top} y2={height - bottom} />
        )}
        {lines.map((line) => (
          <>
            <path
              d={path(line)}
              fill="none"
              stroke={line.color}
              stroke-width="2.2"
              stroke-dasharray={line.dash}
              stroke-linejoin="round"
            />
            {line.rings?.map((ring, i) => {
              const value = line.y[i] ?? null;
              return (
                ring &&
                inside(value, y) && (
                  <circle
                    cx={across(line.x[i]!)}
                    cy={up(Math.min(y1, Math.max(y0, value)))}
                    r="4"
                    fill="var(--raised)"
                    stroke={line.color}
                    stroke-width="1.8"
                  />
                )
              );
            })}
          </>
        ))}
      </svg>
    </figure>
  );
}
