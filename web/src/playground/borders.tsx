// Borders between the regions of the scores, and the lines on which a margin is just met: as the library found them.
import { classColor } from "../classes";
import type { Border } from "../protocol";
import { seen } from "./look";
import { state } from "./state";

interface PlaceProps {
  px: (x: number) => number;
  py: (y: number) => number;
}

export function Borders({ px, py }: PlaceProps) {
  const ends = ({ start, end }: Border) => ({ x1: px(start[0]), y1: py(start[1]), x2: px(end[0]), y2: py(end[1]) });
  return (
    <g class="borders">
      {state.borders.value && seen.value?.borders.map((one) => <line class="border" {...ends(one)} />)}
      {state.margins.value &&
        seen.value?.margin_lines.map((one) => (
          <line class="margin" style={{ stroke: classColor(one.inside) }} {...ends(one)} />
        ))}
    </g>
  );
}
