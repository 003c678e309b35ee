/** The browser’s one WebSocket. It turns messages into events of the engine. */

import { makeFrame, parseFrame } from './lines.js';

/** @typedef {import('./engine.js').Event} Event */

export class Socket {
  /** @type {WebSocket | null} */
  #socket = null;

  /**
   * @param {(event: Event) => void} emit
   * @param {typeof WebSocket} [Implementation]
   */
  constructor(emit, Implementation = WebSocket) {
    this.emit = emit;
    this.Implementation = Implementation;
  }

  /** @param {string} url */
  connect(url) {
    this.disconnect();
    const socket = new this.Implementation(url);
    this.#socket = socket;
    // Ignore events of a socket that was replaced.
    const current = (/** @type {(event: any) => void} */ listener) => (/** @type {any} */ event) => {
      if (this.#socket === socket) listener(event);
    };
    socket.binaryType = 'arraybuffer';
    socket.onopen = current(() => this.emit({ on: 'open' }));
    socket.onclose = current(({ code, reason }) => {
      this.#socket = null;
      this.emit({ on: 'close', code, reason });
    });
    socket.onmessage = current(({ data }) => {
      if (typeof data !== 'string') return; // parts come over HTTP
      try {
        this.emit({ on: 'frame', ...parseFrame(data) });
      } catch {
        socket.close(4400, 'malformed');
      }
    });
  }

  /**
   * @param {import('./types.js').Envelope} envelope
   * @param {unknown[]} lines
   */
  send(envelope, lines) {
    if (this.#socket?.readyState === this.Implementation.OPEN) this.#socket.send(makeFrame(envelope, lines));
  }

  disconnect() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }
}
