// The address of the class, as large as the window allows: to be read, or photographed, from the last row.
import { useRef } from "preact/hooks";
import type { HallState } from "../protocol";

/** Light modules around a QR code, which the standard demands. */
const QUIET_ZONE = 4;

/** The dark modules as the path of a drawing whose unit is one module. */
export const darkPath = (code: readonly string[]): string =>
  code
    .flatMap((row, y) => [...row].map((module, x) => (module === "1" ? `M${x} ${y}h1v1h-1z` : "")))
    .filter(Boolean)
    .join("");

export function Address({ state }: { state: HallState }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const side = state.code.length + 2 * QUIET_ZONE;
  return (
    <>
      <button type="button" class="quiet" onClick={() => dialog.current?.showModal()}>
        Address
      </button>
      <dialog ref={dialog} class="hall-address" aria-label="Address of the class">
        {state.code.length > 0 && (
          <svg
            role="img"
            aria-label="QR code of the address"
            viewBox={`${-QUIET_ZONE} ${-QUIET_ZONE} ${side} ${side}`}
            shape-rendering="crispEdges"
          >
            <rect x={-QUIET_ZONE} y={-QUIET_ZONE} width={side} height={side} fill="#fff" />
            <path d={darkPath(state.code)} fill="#000" />
          </svg>
        )}
        <p>{state.address}</p>
        <button type="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </dialog>
    </>
  );
}
