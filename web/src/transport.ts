// transport.ts -- how messages travel: three functions, whatever is below.

/** What a transport tells: after open() either opened, messages, closed; or closed alone. */
export interface TransportEvents {
  opened(): void;
  /** One whole message. */
  message(bytes: Uint8Array): void;
  /** After send() said false: more may be sent. */
  writable(): void;
  /** Once, at the end of each open(). */
  closed(reason: string): void;
}

export interface Transport {
  /** Begins to connect; may be called again after closed(). */
  open(events: TransportEvents): void;
  /** Takes the message always (the bytes are its own); false: nothing more until writable(). */
  send(bytes: Uint8Array): boolean;
  close(reason: string): void;
}

const FULL = 1 << 20; // bytes that may wait in the socket
const LOOK = 30; // ms between looks whether they went; there is no event for that

/** The protocol's WebSocket (subprotocol syncline.v1, binary messages). */
export class WebSocketTransport implements Transport {
  private socket: WebSocket | undefined;

  constructor(private readonly url: string) {}

  open(events: TransportEvents): void {
    let socket: WebSocket;
    try {
      socket = new WebSocket(this.url, "syncline.v1");
    } catch (error) {
      queueMicrotask(() => events.closed(String(error)));
      return;
    }
    this.socket = socket;
    let over = false;
    const end = (reason: string): void => {
      if (over) return;
      over = true;
      if (this.socket === socket) this.socket = undefined;
      socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
      if (socket.readyState < 2) socket.close();
      events.closed(reason);
    };
    socket.binaryType = "arraybuffer";
    let failed = "the server cannot be reached";
    socket.onopen = () => {
      failed = "the connection was lost";
      events.opened();
    };
    socket.onmessage = (message) => {
      if (message.data instanceof ArrayBuffer) events.message(new Uint8Array(message.data));
      else end("the server sent text");
    };
    socket.onerror = () => setTimeout(() => end(failed), 0);
    socket.onclose = (event) => end(event.reason !== "" ? event.reason : failed);
    const look = setInterval(() => {
      if (over) clearInterval(look);
      else if (this.full && socket.bufferedAmount < FULL / 2) {
        this.full = false;
        events.writable();
      }
    }, LOOK);
    (look as unknown as { unref?: () => void }).unref?.();
    this.end = end;
  }

  private full = false;
  private end: (reason: string) => void = () => undefined;

  send(bytes: Uint8Array): boolean {
    const { socket } = this;
    if (socket === undefined || socket.readyState !== 1) return true; // closed() says so soon
    socket.send(bytes as Uint8Array<ArrayBuffer>);
    this.full = socket.bufferedAmount > FULL;
    return !this.full;
  }

  /** A socket may take half a minute to close on a dead line; nobody waits for that. */
  close(reason: string): void {
    setTimeout(() => this.end(reason), 0);
  }
}

/** Every page of this origin that opens the same channel: what one sends all others get. */
export class BroadcastTransport implements Transport {
  private channel: BroadcastChannel | undefined;
  private events: TransportEvents | undefined;

  constructor(private readonly name: string) {}

  open(events: TransportEvents): void {
    if (typeof BroadcastChannel === "undefined") {
      queueMicrotask(() => events.closed("no BroadcastChannel"));
      return;
    }
    const channel = new BroadcastChannel(this.name);
    (channel as unknown as { unref?: () => void }).unref?.();
    this.channel = channel;
    this.events = events;
    channel.onmessage = (message: MessageEvent) => {
      if (message.data instanceof Uint8Array) events.message(message.data);
    };
    queueMicrotask(() => this.channel === channel && events.opened());
  }

  send(bytes: Uint8Array): boolean {
    this.channel?.postMessage(bytes);
    return true;
  }

  close(reason: string): void {
    this.channel?.close();
    this.channel = undefined;
    const { events } = this;
    this.events = undefined;
    if (events !== undefined) queueMicrotask(() => events.closed(reason));
  }
}
