// The WebSocket: opened, opened again when it is lost, and asked for the time.

import { Frame } from "./frame.js";

const PROTOCOL = "depth-pro-stream.view.1";
const FIRST_RETRY_MS = 300, LONGEST_RETRY_MS = 5000, CLOCK_MS = 1000;

export class Connection {
  /**
   * @param {object} handlers `onHello(hello)`, `onStatus(status)`, `onFrame(frame)` (awaited; then the next one may come),
   *   `onState(state, reason)` with connecting, open, lost, full, refused or token.
   */
  constructor(handlers) {
    this.handlers = handlers;
    this.token = sessionStorage.getItem("token");
    this.clock = new Clock();
    this.watching = { type: "watch", cameras: null, level: 0, paused: false };
    this.socket = null;
    this.retryMs = FIRST_RETRY_MS;
    this.timer = 0;
    takeToken(this);
    addEventListener("hashchange", () => takeToken(this) && this.reopen());
    addEventListener("online", () => this.reopen());
    setInterval(() => this.askTime(), CLOCK_MS);
  }

  async open() {
    clearTimeout(this.timer);
    if (this.socket) return;
    this.handlers.onState("connecting", "");
    let answer;
    try {
      answer = await fetch("enter", { headers: this.token ? { Authorization: `Bearer ${this.token}` } : {}, cache: "no-store" });
    } catch {
      this.retry("lost", "The run cannot be reached. It is tried again.");
      return;
    }
    if (answer.status === 401) this.handlers.onState("token", "");
    else if (answer.status === 503) this.retry("full", "As many watch as may. It is tried again.");
    else if (!answer.ok) this.retry("refused", await answer.text());
    else this.connect();
  }

  useToken(token) {
    this.token = token;
    sessionStorage.setItem("token", token);
    this.reopen();
  }

  /** What to get: `cameras` (null: all), the least `level`, and `paused`. */
  watch(changes) {
    Object.assign(this.watching, changes);
    this.send(this.watching);
  }

  askTime() {
    this.send({ type: "clock", sent: performance.now() });
  }

  step() {
    this.send({ type: "step" });
  }

  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  reopen() {
    this.retryMs = FIRST_RETRY_MS;
    this.open();
  }

  connect() {
    if (this.socket) return;
    const address = new URL("live", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.hash = "";
    const socket = new WebSocket(address, this.token ? [PROTOCOL, `token.${this.token}`] : [PROTOCOL]);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    let turn = Promise.resolve(); // frames are shown one after the other
    socket.onopen = () => {
      this.retryMs = FIRST_RETRY_MS;
      this.clock.reset();
      this.handlers.onState("open", "");
      this.send(this.watching);
      // The quickest answer counts, so ask some times while the page still has little to do.
      for (const wait of [0, 50, 100, 200, 400, 800]) setTimeout(() => this.askTime(), wait);
    };
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") this.hear(JSON.parse(data));
      else {
        turn = turn
          .then(() => this.handlers.onFrame(new Frame(data)))
          .catch((error) => console.error(error))
          .then(() => this.send({ type: "shown" }));
      }
    };
    socket.onclose = ({ code, reason }) => {
      this.socket = null;
      const ended = code === 1001;
      this.retry(ended ? "ended" : "lost", ended ? reason || "The run has ended." : "The connection is lost. It is made again.");
    };
  }

  hear(message) {
    if (message.type === "clock") this.clock.answer(message);
    else if (message.type === "hello") this.handlers.onHello(message);
    else if (message.type === "status") this.handlers.onStatus(message);
  }

  retry(state, reason) {
    this.handlers.onState(state, reason);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), this.retryMs);
    this.retryMs = Math.min(2 * this.retryMs, LONGEST_RETRY_MS);
  }
}

/** Which time it is on the server's monotonic clock, from the quickest of the last answers. */
class Clock {
  reset() {
    this.samples = [];
  }

  answer({ sent, monotonic_ns }) {
    const now = performance.now();
    this.samples.push({ took: now - sent, offset: monotonic_ns / 1e6 - (sent + now) / 2 });
    if (this.samples.length > 10) this.samples.shift();
  }

  /** Milliseconds since a time of the server in nanoseconds; NaN while that is not known. */
  since(ns) {
    if (!this.samples?.length) return NaN;
    const best = this.samples.reduce((a, b) => (b.took < a.took ? b : a));
    return performance.now() + best.offset - ns / 1e6;
  }
}

/** A token behind the # of the link: kept for this tab, and taken out of what the address bar shows. */
function takeToken(connection) {
  const found = /^#token=([A-Za-z0-9_-]+)$/.exec(location.hash);
  if (!found) return false;
  connection.token = found[1];
  sessionStorage.setItem("token", found[1]);
  history.replaceState(null, "", location.pathname);
  return true;
}
