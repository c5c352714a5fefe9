// A picture that the server sent, on a canvas.

import type { Packed } from "../protocol";
import { bytesOf, Pixels } from "../ui/pixels";

const bytesCache = new WeakMap<Packed, Uint8Array>();

export function Shown({ picture, label }: { picture: Packed; label: string }) {
  const bytes = bytesCache.get(picture) ?? bytesOf(picture.bytes);
  bytesCache.set(picture, bytes);
  return <Pixels height={picture.height} width={picture.width} bytes={bytes} kind="color" label={label} />;
}
