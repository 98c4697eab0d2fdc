// slow.js -- a transport that is as bad as one likes.
//
// A WebSocket runs over TCP: a lost packet is sent again, so for the application loss is delay, and
// what is behind it waits.  That is what happens here; messages keep their order.

export class SlowTransport {
  /** @param inner the transport that really travels */
  constructor(inner) {
    this.inner = inner;
    this.delay = 0; // ms each way
    this.loss = 0; // 0..1, for each try
    this.epoch = 0; // of the connection: what is under way when it ends is gone
  }

  open(events) {
    const epoch = ++this.epoch;
    const up = new Line(this, () => this.epoch === epoch);
    const down = new Line(this, () => this.epoch === epoch);
    this.up = up;
    this.inner.open({
      opened: () => down.pass(() => events.opened()),
      message: (bytes) => down.pass(() => events.message(bytes)),
      writable: () => events.writable(),
      closed: (reason) => {
        this.epoch++;
        events.closed(reason);
      },
    });
  }

  send(bytes) {
    this.up.pass(() => this.inner.send(bytes));
    return true;
  }

  close(reason) {
    this.inner.close(reason);
  }
}

/** One direction. */
class Line {
  constructor(network, open) {
    this.network = network;
    this.open = open;
    this.free = 0; // when the message before is through
  }

  pass(deliver) {
    const { delay, loss } = this.network;
    const now = performance.now();
    let at = now + delay;
    for (let wait = Math.max(200, 2 * delay); Math.random() < loss && wait < 10000; wait *= 2) at += wait;
    this.free = Math.max(this.free, at);
    if (this.free <= now) deliver();
    else setTimeout(() => this.open() && deliver(), this.free - now);
  }
}
