// The scores as bars, which are dragged, or moved by keys.
import { useRef } from "preact/hooks";
import { classColor } from "../classes";
import { textScale } from "../theme";
import { shown } from "../ui/numbers";
import { useWidth } from "../ui/size";
import { ticksOf } from "../ui/ticks";
import { shortened } from "./rows";
import { held, K, label, name, scale, scores, setScore, span } from "./state";

/** Width of a letter of a class's name, in CSS pixels of normal text: an average, rounded up. */
const WIDE = 7.5;

/** Room of a class below which its figure is set smaller, in CSS pixels of normal text. */
const NARROW = 44;

export function Bars() {
  const [ref, width] = useWidth<HTMLDivElement>();
  const drag = useRef<number | undefined>(undefined);
  const text = textScale.value;
  const height = 250 * text;
  const left = 50 * text;
  const top = 18 * text;
  const bottom = 26 * text;
  const n = K.value;
  const step = (width - left) / n;
  const up = (s: number) => top + (1 - (s + scale.value) / (2 * scale.value)) * (height - top - bottom);
  const at = (event: PointerEvent) => {
    const box = ref.current!.querySelector("svg")!.getBoundingClientRect();
    const share = 1 - (event.clientY - box.top - top) / (height - top - bottom);
    const value = -scale.value + 2 * scale.value * Math.min(1, Math.max(0, share));
    const unit = scale.value > 50 ? 1 : 0.1;
    return Math.round(value / unit) * unit;
  };
  const end = () => {
    drag.current = undefined;
    held.value = undefined;
  };
  return (
    <div class="bars" ref={ref}>
      {/* biome-ignore lint/a11y/noSvgWithoutTitle: each bar is a slider with a label of its own */}
      <svg width={width} height={height}>
        {ticksOf(-scale.value, scale.value, 5).map((tick) => (
          <g class="tick">
            <line x1={left} x2={width} y1={up(tick)} y2={up(tick)} />
            <text x={left - 6} y={up(tick) + 4} text-anchor="end">
              {shown(tick, 3)}
            </text>
          </g>
        ))}
        <line class="base" x1={left} x2={width} y1={up(0)} y2={up(0)} />
        {scores.value.map((s, k) => {
          const x = left + k * step + step * 0.2;
          const w = step * 0.6;
          return (
            <g
              class="bar"
              role="slider"
              tabindex={0}
              aria-orientation="vertical"
              aria-label={`score of ${name(k)}, bar`}
              aria-valuenow={s}
              aria-valuemin={-scale.value}
              aria-valuemax={scale.value}
              onKeyDown={(event) => {
                const by = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 }[event.key];
                if (by === undefined) return;
                event.preventDefault();
                setScore(k, scores.value[k]! + by * (event.shiftKey ? 1 : 0.1));
              }}
              onPointerDown={(event) => {
                // a finger that only wants to scroll moves nothing: it taps a bar first, which focuses it
                if (event.pointerType === "touch" && document.activeElement !== event.currentTarget) return;
                event.preventDefault();
                event.currentTarget.focus();
                event.currentTarget.setPointerCapture(event.pointerId);
                held.value = span.value;
                drag.current = k;
                setScore(k, at(event));
              }}
              onPointerMove={(event) => {
                if (drag.current === k) setScore(k, at(event));
              }}
              onPointerUp={end}
              onPointerCancel={end}
              onClick={(event) => event.currentTarget.focus()}
            >
              <rect x={left + k * step} y={top} width={step} height={height - top - bottom} fill="transparent" />
              <Bar k={k} score={s} x={x} width={w} up={up} step={step} height={height} />
            </g>
          );
        })}
      </svg>
      <small class="touch-hint">Tap a bar, then drag it.</small>
    </div>
  );
}

interface BarProps {
  k: number;
  score: number;
  x: number;
  width: number;
  /** Where a score lies. */
  up: (score: number) => number;
  /** Room of a class, and height of the drawing. */
  step: number;
  height: number;
}

/** A bar, its grip, its figure and the name of its class. */
function Bar({ k, score, x, width, up, step, height }: BarProps) {
  const text = textScale.value;
  return (
    <>
      <rect
        x={x}
        width={width}
        y={Math.min(up(score), up(0))}
        height={Math.max(1, Math.abs(up(score) - up(0)))}
        fill={classColor(k)}
        opacity={k === label.value ? 1 : 0.55}
      />
      <line
        class="grip"
        x1={x - 3}
        x2={x + width + 3}
        y1={up(score)}
        y2={up(score)}
        stroke={classColor(k)}
        stroke-width="4"
        stroke-linecap="round"
      />
      <text
        class={step < NARROW * text ? "value tight" : "value"}
        x={x + width / 2}
        y={score >= 0 ? up(score) - 7 : up(score) + 2 + 14 * text}
        text-anchor="middle"
      >
        {shown(score, step < NARROW * text ? 2 : 4)}
      </text>
      <text class="name" x={x + width / 2} y={height - 7} text-anchor="middle">
        {shortened(name(k), Math.floor(step / (WIDE * text)))}
      </text>
    </>
  );
}
