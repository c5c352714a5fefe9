// A picture that the server sent, on a canvas.
import { bytesOf, Pixels } from "../ui/pixels";
import type { Picture } from "./protocol";

const bytesCache = new WeakMap<Picture, Uint8Array>();

export function Shown({ picture, label }: { picture: Picture; label: string }) {
  const bytes = bytesCache.get(picture) ?? bytesOf(picture.bytes);
  bytesCache.set(picture, bytes);
  return <Pixels height={picture.height} width={picture.width} bytes={bytes} kind="color" label={label} />;
}
