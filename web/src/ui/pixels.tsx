// Small pictures from bytes, each pixel a square.
import { useLayoutEffect, useRef } from "preact/hooks";

export const bytesOf = (text: string): Uint8Array => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

/** Red is negative, blue positive, white 0: the ends of matplotlib's RdBu, as in linprobe.explain. */
const STOPS = [
  [103, 0, 31],
  [178, 24, 43],
  [214, 96, 77],
  [244, 165, 130],
  [253, 219, 199],
  [247, 247, 247],
  [209, 229, 240],
  [146, 197, 222],
  [67, 147, 195],
  [33, 102, 172],
  [5, 48, 97],
] as const;

export const DIVERGING: readonly (readonly [number, number, number])[] = Array.from({ length: 256 }, (_, v) => {
  const at = Math.min(Math.max((v - 1) / 254, 0), 1) * (STOPS.length - 1); // 128 stands for 0, the middle
  const i = Math.min(Math.floor(at), STOPS.length - 2);
  const share = at - i;
  const mix = (c: 0 | 1 | 2) => Math.round(STOPS[i]![c] * (1 - share) + STOPS[i + 1]![c] * share);
  return [mix(0), mix(1), mix(2)] as const;
});

interface PixelsProps {
  height: number;
  width: number;
  /** height x width x 3 (color) or height x width (signed, 128 for 0). */
  bytes: Uint8Array;
  kind: "color" | "signed";
  /** What it shows, in words; "" for one within a button or a link that has a name. */
  label: string;
}

export function Pixels({ height, width, bytes, kind, label }: PixelsProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const image = context.createImageData(width, height);
    for (let i = 0; i < height * width; i += 1) {
      const [r, g, b] =
        kind === "color" ? [bytes[3 * i]!, bytes[3 * i + 1]!, bytes[3 * i + 2]!] : DIVERGING[bytes[i]!]!;
      image.data.set([r, g, b, 255], 4 * i);
    }
    context.putImageData(image, 0, 0);
  }, [bytes, kind, height, width]);
  const name = label ? { role: "img" as const, "aria-label": label } : { "aria-hidden": true };
  return <canvas ref={canvas} class="pixels" height={height} width={width} {...name} />;
}
