// What the unit tests put in the place of the browser: its globals, and a server whose answers they choose.
import { vi } from "vitest";

interface Request {
  id: number;
  method: string;
  params: Record<string, unknown>;
}

/** The server's end of the WebSocket: the requests that came, answered in any order. */
export class Server {
  readonly requests: Request[] = [];
  private socket: FakeSocket | undefined;

  /** Stub the globals that the page reads on import. Import the modules under test after this. */
  constructor() {
    vi.stubGlobal("location", { href: "http://127.0.0.1/", hash: "" });
    vi.stubGlobal("history", { pushState: () => undefined, replaceState: () => undefined });
    vi.stubGlobal("addEventListener", () => undefined);
    vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener: () => undefined }));
    const connected = (socket: FakeSocket) => {
      this.socket = socket;
    };
    const { requests } = this;
    vi.stubGlobal(
      "WebSocket",
      class extends FakeSocket {
        static readonly OPEN = 1;
        constructor() {
          super(requests);
          connected(this);
        }
      },
    );
  }

  /** Accept the connection. */
  open(): void {
    this.socket!.readyState = 1;
    this.socket!.onopen?.();
  }

  /** Break the connection. */
  close(): void {
    this.socket!.readyState = 3;
    this.socket!.onclose?.();
  }

  /** Send the answer to a request, and wait until the page has taken it. */
  async answer(request: Request, result: unknown): Promise<void> {
    this.socket!.onmessage?.({ data: JSON.stringify({ id: request.id, result }) });
    await settled();
  }

  /** Send an event. */
  tell(event: string, data: unknown): void {
    this.socket!.onmessage?.({ data: JSON.stringify({ event, data }) });
  }

  /** Refuse a request with that sentence, and wait until the page has taken it. */
  async refuse(request: Request, error: string): Promise<void> {
    this.socket!.onmessage?.({ data: JSON.stringify({ id: request.id, error }) });
    await settled();
  }

  /** The requests of a method so far, once those that wait are sent. */
  async received(method: string): Promise<Request[]> {
    await settled();
    return this.requests.filter((one) => one.method === method);
  }
}

class FakeSocket {
  readyState = 0;
  onopen?: () => void;
  onclose?: () => void;
  onmessage?: (event: { data: string }) => void;

  constructor(private readonly requests: Request[]) {}

  send(text: string): void {
    this.requests.push(JSON.parse(text) as Request);
  }
}

/** After all promises that can be settled now. */
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));
