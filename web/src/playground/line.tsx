// The line and the arrow of a class. The line lies below the points, its handles above them.
import { classColor } from "../classes";
import { shown } from "../ui/numbers";
import type { LineOf } from "./geometry";
import { useGestures } from "./gestures";
import { b, W } from "./state";

interface ClassLineProps {
  k: number;
  line: LineOf;
  px: (x: number) => number;
  py: (y: number) => number;
  place: (event: PointerEvent) => [number, number];
  limit: number;
}

const stop = (event: Event) => event.stopPropagation();

export function ClassLine({ k, line, px, py, place, limit }: ClassLineProps) {
  const { slides } = useGestures(k, place, limit);
  return (
    <g class="class-line" style={{ color: classColor(k) }} onClick={stop} onDblClick={stop}>
      {line.ends && (
        <g class="handle" {...slides}>
          <line
            class="zero-line"
            x1={px(line.ends[0])}
            y1={py(line.ends[1])}
            x2={px(line.ends[2])}
            y2={py(line.ends[3])}
          />
          <line class="reach" x1={px(line.ends[0])} y1={py(line.ends[1])} x2={px(line.ends[2])} y2={py(line.ends[3])} />
        </g>
      )}
      <line class="normal" x1={px(line.foot[0])} y1={py(line.foot[1])} x2={px(line.tip[0])} y2={py(line.tip[1])} />
    </g>
  );
}

/** The square that moves the line, and the tip that turns the arrow. */
export function ClassHandles({ k, line, px, py, place, limit }: ClassLineProps) {
  const { slides, turns, slideKey, turnKey } = useGestures(k, place, limit);
  const w = W.value[k]!;
  const bias = b.value[k]!;
  const at = (x: number, y: number) => `translate(${px(x).toFixed(1)} ${py(y).toFixed(1)})`;
  return (
    <g class="class-line" style={{ color: classColor(k) }} onClick={stop} onDblClick={stop}>
      <g
        class="handle grip"
        transform={at(...line.grip)}
        tabindex={0}
        role="button"
        aria-label={`line of class ${k}: b is ${shown(bias, 3)}; arrow keys move it`}
        onKeyDown={slideKey}
        {...slides}
      >
        <circle class="halo" r="11" />
        <rect x="-6" y="-6" width="12" height="12" rx="3" />
      </g>
      <g
        class="handle tip"
        transform={at(...line.tip)}
        tabindex={0}
        role="button"
        aria-label={`weights of class ${k}: ${shown(w[0], 3)}, ${shown(w[1], 3)}; left and right turn, up and down lengthen`}
        onKeyDown={turnKey}
        {...turns}
      >
        <circle class="halo" r="11" />
        <circle r="8" />
        <text text-anchor="middle" y="4">
          {k}
        </text>
      </g>
    </g>
  );
}
