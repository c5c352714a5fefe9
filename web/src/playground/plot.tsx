// The plane: regions on a canvas, lines and points in SVG above it; all of them can be dragged, or moved by keys.
import { computed, useComputed, useSignalEffect } from "@preact/signals";
import { Component } from "preact";
import { useRef } from "preact/hooks";
import { CLASS_COLORS, classColor, classShape } from "../classes";
import { unpacked } from "../socket";
import { theme } from "../theme";
import { ticksOf } from "../ui/chart";
import { shown } from "../ui/controls";
import { useWidth } from "../ui/size";
import {
  addPoint,
  b,
  deletePoint,
  dragging,
  half,
  movePoint,
  type Point,
  points,
  relabel,
  seen,
  selected,
  setClass,
  state,
  W,
  walked,
} from "./state";
import { adding, newLabel } from "./tools";

/** The region canvas has this many pixels for each cell of the grid: enough for stripes. */
const FINE = 3;
const ARROW = 0.42;

/** The length of an arrow, as a share of half the view, for a weight vector of this length; it never leaves the view. */
const arrowOf = (size: number) => (ARROW * 2 * size) / (1 + size);
const sizeOf = (arrow: number) => {
  const share = Math.min(0.985, arrow / (ARROW * 2));
  return share / (1 - share);
};

interface LineOf {
  /** The point of the line s_k = 0 that is nearest to the middle, kept inside the view. */
  foot: [number, number];
  tip: [number, number];
  /** Where the line is held: away from its foot, at which the lines of all classes may meet. */
  grip: [number, number];
  ends: [number, number, number, number] | undefined;
}

function lineOf(w: readonly number[], bias: number, limit: number): LineOf {
  const [wx, wy] = [w[0]!, w[1]!];
  const size = Math.hypot(wx, wy);
  if (size < 1e-9) return { foot: [0, 0], tip: [0, 0.06 * limit], grip: [0, 0], ends: undefined };
  const away = -bias / size;
  const [ux, uy] = [wx / size, wy / size];
  const reach = Math.min(0.97 * limit, Math.max(-0.97 * limit, away));
  const foot: [number, number] = [ux * reach, uy * reach];
  const arrow = arrowOf(size) * limit;
  const keep = (value: number) => Math.min(0.96 * limit, Math.max(-0.96 * limit, value));
  const along = 0.62 * limit;
  const far = 3 * limit;
  return {
    foot,
    tip: [keep(foot[0] + ux * arrow), keep(foot[1] + uy * arrow)],
    grip: [keep(foot[0] - uy * along), keep(foot[1] + ux * along)],
    ends: [ux * away - uy * far, uy * away + ux * far, ux * away + uy * far, uy * away - ux * far],
  };
}

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

  const wrong = useComputed(() => {
    const found = new Set<number>();
    seen.value?.predicted.forEach((k, i) => {
      if (points.value[i] && k !== points.value[i].label) found.add(i);
    });
    return found;
  });
  const batch = new Set(walked.value?.batch ?? []);
  const lines = state.lines.value ? W.value.map((w, k) => lineOf(w, b.value[k]!, limit)) : [];
  const ticks = ticksOf(-limit, limit, 6);
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
          onDblClick={(event) => {
            const [x, y] = place(event);
            addPoint(x, y, newLabel.value);
          }}
          onClick={(event) => {
            if (!adding.value) return;
            const [x, y] = place(event);
            addPoint(x, y, newLabel.value);
          }}
        >
          {ticks.map((t) => (
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
          {lines.map((line, k) => (
            <ClassLine part="line" k={k} line={line} px={px} py={py} place={place} limit={limit} />
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
            <ClassLine part="handles" k={k} line={line} px={px} py={py} place={place} limit={limit} />
          ))}
        </svg>
      </div>
    </div>
  );
}

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
class Mark extends Component<MarkProps> {
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
        aria-label={`point ${i + 1} of ${n}, class ${point.label}, x ${shown(point.x, 3)}, y ${shown(point.y, 3)}${wrong ? ", classified wrong" : ""}`}
        onFocus={() => {
          selected.value = i;
        }}
        onKeyDown={(event) => pointKey(event, i)}
        onPointerDown={(event) => {
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
        onClick={(event) => event.stopPropagation()}
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
  const arrows: Record<string, [number, number]> = {
    ArrowLeft: [-by, 0],
    ArrowRight: [by, 0],
    ArrowUp: [0, by],
    ArrowDown: [0, -by],
  };
  const arrow = arrows[event.key];
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

interface ClassLineProps {
  /** The line lies below the points, its handles above them. */
  part: "line" | "handles";
  k: number;
  line: LineOf;
  px: (x: number) => number;
  py: (y: number) => number;
  place: (event: PointerEvent) => [number, number];
  limit: number;
}

function ClassLine({ part, k, line, px, py, place, limit }: ClassLineProps) {
  const color = classColor(k);
  const w = W.value[k]!;
  const bias = b.value[k]!;
  /** Where the pointer held the line, along its normal: it must not jump when it is taken. */
  const shift = useRef(0);
  // What a hand does is done to the line as it is then, which may not be drawn yet.
  const now = () => {
    const own = W.value[k]!;
    return { own, size: Math.hypot(own[0], own[1]), foot: lineOf(own, b.value[k]!, limit).foot };
  };
  const point = (next: [number, number]) => {
    const { size, foot } = now();
    setClass(k, next, size < 1e-9 ? b.value[k]! : -(next[0] * foot[0] + next[1] * foot[1]));
  };

  const slide = (event: PointerEvent) => {
    const [x, y] = place(event);
    const { own } = now();
    setClass(k, own, -(own[0] * x + own[1] * y) + shift.current);
  };
  const turn = (event: PointerEvent) => {
    const [x, y] = place(event);
    const { foot } = now();
    const [dx, dy] = [x - foot[0], y - foot[1]];
    const arrow = Math.hypot(dx, dy);
    if (arrow < 1e-6) return;
    const length = sizeOf(arrow / limit);
    point([(dx / arrow) * length, (dy / arrow) * length]);
  };
  const slideKey = (event: KeyboardEvent) => {
    const by = limit * (event.shiftKey ? 0.1 : 0.02);
    const arrows: Record<string, [number, number]> = {
      ArrowLeft: [-by, 0],
      ArrowRight: [by, 0],
      ArrowUp: [0, by],
      ArrowDown: [0, -by],
    };
    const arrow = arrows[event.key];
    if (!arrow) return;
    event.preventDefault();
    const { own } = now();
    setClass(k, own, b.value[k]! - (own[0] * arrow[0] + own[1] * arrow[1]));
  };
  const turnKey = (event: KeyboardEvent) => {
    const angle = { ArrowLeft: 1, ArrowRight: -1 }[event.key];
    const grow = { ArrowUp: 1.05, ArrowDown: 1 / 1.05 }[event.key];
    if (angle === undefined && grow === undefined) return;
    event.preventDefault();
    const { own, size } = now();
    const a = Math.atan2(own[1], own[0]) + (angle ?? 0) * (Math.PI / 180) * (event.shiftKey ? 10 : 2);
    const length = Math.max(size, 0.05) * (grow ?? 1);
    point([length * Math.cos(a), length * Math.sin(a)]);
  };
  const hold = (event: PointerEvent & { currentTarget: SVGGElement }, slides: boolean) => {
    event.preventDefault();
    event.stopPropagation();
    if (event.currentTarget.hasAttribute("tabindex")) event.currentTarget.focus({ preventScroll: true });
    event.currentTarget.setPointerCapture(event.pointerId);
    const [x, y] = place(event);
    const { own } = now();
    shift.current = slides ? b.value[k]! + own[0] * x + own[1] * y : 0;
    dragging.value = true;
  };
  const end = () => {
    dragging.value = false;
  };
  const held = (event: PointerEvent & { currentTarget: SVGGElement }) =>
    event.currentTarget.hasPointerCapture(event.pointerId);
  const stop = (event: Event) => event.stopPropagation();
  const at = (x: number, y: number) => `translate(${px(x).toFixed(1)} ${py(y).toFixed(1)})`;
  if (part === "line") {
    return (
      <g class="class-line" style={{ color }} onClick={stop} onDblClick={stop}>
        {line.ends && (
          <g
            class="handle"
            onPointerDown={(event) => hold(event, true)}
            onPointerMove={(event) => held(event) && slide(event)}
            onPointerUp={end}
          >
            <line
              class="zero-line"
              x1={px(line.ends[0])}
              y1={py(line.ends[1])}
              x2={px(line.ends[2])}
              y2={py(line.ends[3])}
            />
            <line
              class="reach"
              x1={px(line.ends[0])}
              y1={py(line.ends[1])}
              x2={px(line.ends[2])}
              y2={py(line.ends[3])}
            />
          </g>
        )}
        <line class="normal" x1={px(line.foot[0])} y1={py(line.foot[1])} x2={px(line.tip[0])} y2={py(line.tip[1])} />
      </g>
    );
  }
  return (
    <g class="class-line" style={{ color }} onClick={stop} onDblClick={stop}>
      <g
        class="handle grip"
        transform={at(...line.grip)}
        tabindex={0}
        role="button"
        aria-label={`line of class ${k}: b is ${shown(bias, 3)}; arrow keys move it`}
        onKeyDown={slideKey}
        onPointerDown={(event) => hold(event, true)}
        onPointerMove={(event) => held(event) && slide(event)}
        onPointerUp={end}
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
        onPointerDown={(event) => hold(event, false)}
        onPointerMove={(event) => held(event) && turn(event)}
        onPointerUp={end}
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

type Rgb = [number, number, number];

/** The classes' colours of the theme, read once for each: it makes the browser work out the style of the page. */
const tints = computed((): Rgb[] => {
  void theme.value;
  const style = getComputedStyle(document.documentElement);
  return CLASS_COLORS.map((_, k) => {
    const hex = style.getPropertyValue(`--class-${k}`).trim();
    return [1, 3, 5].map((i) => Number.parseInt(hex.slice(i, i + 2), 16)) as Rgb;
  });
});

/** Regions as a tint; in "both" places where the neighbours choose another class are striped in its colour. */
function paint(canvas: HTMLCanvasElement | null): void {
  const look = seen.value;
  const mode = state.regions.value;
  const tint = theme.value === "dark" ? 70 : 56;
  const context = canvas?.getContext("2d");
  if (!canvas || !context) return;
  const base = mode === "knn" ? look?.neighbors : look?.regions;
  if (mode === "none" || !look || !base) {
    context.clearRect(0, 0, canvas.width, canvas.height);
    return;
  }
  const colors = tints.value;
  const over = mode === "both" ? look.neighbors : undefined;
  const cells = unpacked(base);
  const above = over && unpacked(over);
  const scale = over ? FINE : 1;
  const [w, h] = [base.width * scale, base.height * scale];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const image = context.createImageData(w, h);
  const stripe = w / 30;
  for (let row = 0; row < h; row += 1) {
    const up = h - 1 - row; // row 0 of a grid is the lowest
    for (let column = 0; column < w; column += 1) {
      const own = cells[Math.floor(up / scale) * base.width + Math.floor(column / scale)]!;
      let k = own;
      let alpha = tint;
      if (over && above) {
        const other = above[Math.floor((up * over.height) / h) * over.width + Math.floor((column * over.width) / w)]!;
        if (other !== own && (row + column) % stripe < 0.5 * stripe) {
          k = other;
          alpha = 3 * tint;
        }
      }
      const [r, g, blue] = colors[k] ?? [128, 128, 128];
      const at = 4 * (row * w + column);
      image.data[at] = r;
      image.data[at + 1] = g;
      image.data[at + 2] = blue;
      image.data[at + 3] = alpha;
    }
  }
  context.putImageData(image, 0, 0);
}
