// The one WebSocket to the library: calls, streams in which the latest state wins, and events.
import { type Signal, signal } from "@preact/signals";
import type { Events, Methods, Packed } from "./protocol";

export type Method = keyof Methods;
/** The parameters that a method takes. */
export type Sent<M extends Method> = Methods[M][0];
/** The answer of a method. */
export type Received<M extends Method> = Methods[M][1];

export type Link = "connecting" | "open" | "closed";
export const link = signal<Link>("connecting");
/** Counts the connections: what is read when a page opens is read again when this changes. */
export const connections = signal(0);

interface Waiting {
  // biome-ignore lint/suspicious/noExplicitAny: `Methods` names the type of the answer
  resolve: (value: any) => void;
  reject: (error: Error) => void;
}

/** Milliseconds until it connects anew, at most. */
const LONGEST_PAUSE = 4000;

let socket: WebSocket | undefined;
let lastId = 0;
let pause = 250;
const waiting = new Map<number, Waiting>();
// biome-ignore lint/suspicious/noExplicitAny: `Events` names the type of the data
const listeners = new Map<string, Set<(data: any) => void>>();
const whenOpen: (() => void)[] = [];

function connect(): void {
  const base = location.href.replace(/[?#].*$/, "").replace(/^http/, "ws");
  socket = new WebSocket(new URL("socket", base));
  socket.onopen = () => {
    pause = 250;
    link.value = "open";
    connections.value += 1;
    for (const go of whenOpen.splice(0)) go();
  };
  socket.onclose = () => {
    link.value = "closed";
    for (const { reject } of waiting.values()) reject(new Lost());
    waiting.clear();
    setTimeout(connect, pause);
    pause = Math.min(2 * pause, LONGEST_PAUSE);
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data as string);
    if (message.event !== undefined) {
      if (message.event === "hall.refused") pause = LONGEST_PAUSE; // it closes now, and stays full for a while
      for (const listener of listeners.get(message.event) ?? []) listener(message.data);
      return;
    }
    const found = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error !== undefined) found?.reject(new Error(message.error));
    else found?.resolve(message.result);
  };
}
connect();

/** A request without a connection is refused, and the banner is shown: nothing is done later without being seen. */
class Lost extends Error {
  constructor() {
    super("no connection to the lab: nothing was done.");
  }
}

const opened = (): Promise<void> =>
  socket?.readyState === WebSocket.OPEN ? Promise.resolve() : new Promise((resolve) => whenOpen.push(resolve));

/** Ask the library; waits for the first connection, rejects with the library's sentence, or at once where it was lost. */
export async function call<M extends Method>(method: M, params: Sent<M>): Promise<Received<M>> {
  if (link.peek() === "closed") throw new Lost();
  await opened();
  lastId += 1;
  const id = lastId;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    socket?.send(JSON.stringify({ id, method, params }));
  });
}

/**
 * Ask the library for what an effect shows. Gives the function that drops the answer, and the failure: return it from
 * the effect, so that an answer that is overtaken by a later one does not replace it.
 */
export function request<M extends Method>(
  method: M,
  params: Sent<M>,
  answer: (result: Received<M>) => void,
  failed: (error: Error) => void,
): () => void {
  let outdated = false;
  call(method, params).then(
    (result) => {
      if (!outdated) answer(result);
    },
    (error: Error) => {
      if (!outdated) failed(error);
    },
  );
  return () => {
    outdated = true;
  };
}

/** What puts the message of an error where a page shows it. */
export const say = (to: Signal<string>) => (error: Error) => {
  to.value = error.message;
};

/** Hear an event of the server; gives the function that stops it. */
export function hear<E extends keyof Events>(event: E, listener: (data: Events[E]) => void): () => void {
  const heard = listeners.get(event) ?? new Set();
  listeners.set(event, heard.add(listener));
  return () => heard.delete(listener);
}

/**
 * A stream of requests of one method, at most one in flight. Of the requests that come before its answer only
 * the last is sent, so that a drag never queues up. `note` comes back with the answer.
 */
export function stream<M extends Method, N = undefined>(
  method: M,
  answer: (result: Received<M>, note: N) => void,
  failed: (error: Error) => void,
) {
  let busy = false;
  let next: { params: Sent<M>; note: N } | undefined;
  const pump = async (): Promise<void> => {
    busy = true;
    while (next !== undefined) {
      const { params, note } = next;
      next = undefined;
      try {
        answer(await call(method, params), note);
      } catch (error) {
        if (!(error instanceof Lost)) failed(error as Error); // sent again once there is a connection
      }
    }
    busy = false;
  };
  return (params: Sent<M>, ...[note]: N extends undefined ? [] : [N]): void => {
    next = { params, note: note as N };
    if (!busy) void pump();
  };
}

/** The bytes of a grid, row after row, the lowest first. */
export const unpacked = (grid: Packed): Uint8Array => Uint8Array.from(atob(grid.bytes), (c) => c.charCodeAt(0));
