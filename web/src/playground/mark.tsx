// A point of the plane: dragged, or moved and labelled by keys.
import { Component } from "preact";
import { classColor, classShape } from "../classes";
import { shown } from "../ui/numbers";
import { addPoint, deletePoint, movePoint, relabel } from "./edits";
import { arrowKey } from "./geometry";
import type { Point } from "./points";
import { classInWords, dragging, half, points, selected } from "./state";
import { newLabel } from "./tools";

interface MarkProps {
  i: number;
  n: number;
  point: Point;
  left: number;
  top: number;
  wrong: boolean;
  chosen: boolean;
  batch: boolean;
  place: (event: PointerEvent) => [number, number];
}

/** A point; only the one that changes is drawn again while it is dragged. */
export class Mark extends Component<MarkProps> {
  override shouldComponentUpdate(next: MarkProps): boolean {
    const before = this.props;
    return (
      next.point !== before.point ||
      next.left !== before.left ||
      next.top !== before.top ||
      next.wrong !== before.wrong ||
      next.chosen !== before.chosen ||
      next.batch !== before.batch ||
      next.i !== before.i ||
      next.n !== before.n
    );
  }

  /** The place of an event in the plane, by the size that the plane has now. */
  move = (event: PointerEvent & { currentTarget: SVGGElement }) => {
    if (!event.currentTarget.hasPointerCapture(event.pointerId)) return;
    const [x, y] = this.props.place(event);
    movePoint(this.props.i, x, y);
  };

  render({ i, n, point, left, top, wrong, chosen, batch }: MarkProps) {
    return (
      <g
        class={`point ${wrong ? "wrong" : ""} ${chosen ? "chosen" : ""}`}
        transform={`translate(${left.toFixed(1)} ${top.toFixed(1)})`}
        tabindex={chosen ? 0 : -1}
        role="button"
        data-point={i}
        aria-label={`point ${i + 1} of ${n}, ${classInWords(point.label)}, x ${shown(point.x, 3)}, y ${shown(point.y, 3)}${wrong ? ", classified wrong" : ""}`}
        onFocus={() => {
          selected.value = i;
        }}
        onKeyDown={(event) => pointKey(event, i)}
        onPointerDown={(event) => {
          // a finger that only wants to scroll moves nothing: it taps a point first
          if (event.pointerType === "touch" && !chosen) return;
          event.preventDefault();
          event.stopPropagation();
          event.currentTarget.focus({ preventScroll: true });
          selected.value = i;
          event.currentTarget.setPointerCapture(event.pointerId);
          dragging.value = true;
        }}
        onPointerMove={this.move}
        onPointerUp={() => {
          dragging.value = false;
        }}
        onClick={(event) => {
          event.stopPropagation();
          selected.value = i;
        }}
        onDblClick={(event) => event.stopPropagation()}
      >
        <circle class="halo" r="11" />
        {batch && <circle class="batch" r="9.5" />}
        <path d={classShape(point.label)} fill={classColor(point.label)} />
      </g>
    );
  }
}

const focusPoint = (i: number) => {
  selected.value = i;
  requestAnimationFrame(() => document.querySelector<SVGGElement>(`[data-point="${i}"]`)?.focus());
};

function pointKey(event: KeyboardEvent, i: number): void {
  const n = points.value.length;
  const p = points.value[i]!;
  const by = half.value * (event.shiftKey ? 0.1 : event.altKey ? 0.002 : 0.02);
  const arrow = arrowKey(event.key, by);
  const next = { PageDown: (i + 1) % n, n: (i + 1) % n, PageUp: (i + n - 1) % n, p: (i + n - 1) % n }[event.key];
  if (event.ctrlKey || event.metaKey) return;
  if (arrow) movePoint(i, p.x + arrow[0], p.y + arrow[1]);
  else if (next !== undefined) focusPoint(next);
  else if (/^[0-9]$/.test(event.key)) relabel(i, Number(event.key));
  else if (event.key === "Delete" || event.key === "Backspace") {
    deletePoint(i);
    focusPoint(selected.value);
  } else if (event.key === "a") {
    addPoint(Math.min(half.value, p.x + 3 * by), p.y, newLabel.value);
    focusPoint(selected.value);
  } else return;
  event.preventDefault();
}
