// The line and the arrow of a class. The line lies below the points, its handles above them.
import { classColor } from "../classes";
import { shown } from "../ui/numbers";
import type { LineOf } from "./geometry";
import { useGestures } from "./gestures";
import type { Shown } from "./handles";
import { b, W } from "./state";

interface ClassLineProps {
  k: number;
  line: LineOf;
  shown: Shown;
  px: (x: number) => number;
  py: (y: number) => number;
  place: (event: PointerEvent) => [number, number];
  limit: number;
}

const stop = (event: Event) => event.stopPropagation();

/** The line, its arrow, and from the tip of this to where the tip is shown. */
export function ClassLine({ k, line, shown: at, px, py, place, limit }: ClassLineProps) {
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
      {at.tip !== line.tip && (
        <line class="aside" x1={px(line.tip[0])} y1={py(line.tip[1])} x2={px(at.tip[0])} y2={py(at.tip[1])} />
      )}
    </g>
  );
}

/** The square that moves the line, and the tip that turns the arrow. */
export function ClassHandles({ k, shown: at, px, py, place, limit }: ClassLineProps) {
  const { slides, turns, slideKey, turnKey } = useGestures(k, place, limit);
  const w = W.value[k]!;
  const bias = b.value[k]!;
  const moved = ([x, y]: readonly [number, number]) => `translate(${px(x).toFixed(1)} ${py(y).toFixed(1)})`;
  return (
    <g class="class-line" style={{ color: classColor(k) }} onClick={stop} onDblClick={stop}>
      <g
        class="handle grip"
        transform={moved(at.grip)}
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
        transform={moved(at.tip)}
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
