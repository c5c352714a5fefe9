// What pointers and keys do to the line and the arrow of a class.
import { signal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { setClass } from "./edits";
import { arrowKey, lineOf, turned, weightsOf } from "./geometry";
import type { Handle } from "./handles";
import { b, dragging, W } from "./state";

/** The handle that was last in use: it stays where it is, others give way to it. */
export const lastHandle = signal<Handle | undefined>(undefined);

type Held = PointerEvent & { currentTarget: SVGGElement };

/** The handlers of what moves the line, `slides`, and of what turns the arrow, `turns`. */
export function useGestures(k: number, place: (event: PointerEvent) => [number, number], limit: number) {
  /** Where the pointer held the line, along its normal: it must not jump when it is taken. */
  const shift = useRef(0);
  /** Where the pointer held the arrow, from its tip, which may be shown aside of its place. */
  const aside = useRef<readonly [number, number]>([0, 0]);
  // What a hand does is done to the line as it is then, which may not be drawn yet.
  const now = () => {
    const own = W.value[k]!;
    return { own, size: Math.hypot(own[0], own[1]), ...lineOf(own, b.value[k]!, limit) };
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
    const next = weightsOf(x - aside.current[0] - foot[0], y - aside.current[1] - foot[1], limit);
    if (next) point(next);
  };
  const slideKey = (event: KeyboardEvent) => {
    const by = limit * (event.shiftKey ? 0.1 : 0.02);
    const arrow = arrowKey(event.key, by);
    if (!arrow) return;
    event.preventDefault();
    lastHandle.value = { part: "grip", k };
    const { own } = now();
    setClass(k, own, b.value[k]! - (own[0] * arrow[0] + own[1] * arrow[1]));
  };
  const turnKey = (event: KeyboardEvent) => {
    const next = turned(now().own, event.key, event.shiftKey ? 10 : 2);
    if (!next) return;
    event.preventDefault();
    lastHandle.value = { part: "tip", k };
    point(next);
  };
  const hold = (event: Held, slides: boolean) => {
    event.preventDefault();
    event.stopPropagation();
    if (event.currentTarget.hasAttribute("tabindex")) event.currentTarget.focus({ preventScroll: true });
    event.currentTarget.setPointerCapture(event.pointerId);
    const [x, y] = place(event);
    const { own, tip } = now();
    shift.current = slides ? b.value[k]! + own[0] * x + own[1] * y : 0;
    aside.current = [x - tip[0], y - tip[1]];
    lastHandle.value = { part: slides ? "grip" : "tip", k };
    dragging.value = true;
  };
  const end = () => {
    dragging.value = false;
  };
  const held = (event: Held) => event.currentTarget.hasPointerCapture(event.pointerId);
  return {
    slides: {
      onPointerDown: (event: Held) => hold(event, true),
      onPointerMove: (event: Held) => held(event) && slide(event),
      onPointerUp: end,
    },
    turns: {
      onPointerDown: (event: Held) => hold(event, false),
      onPointerMove: (event: Held) => held(event) && turn(event),
      onPointerUp: end,
    },
    slideKey,
    turnKey,
  };
}
