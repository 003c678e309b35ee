/** The timers of the engine, by name. Setting a timer again replaces it. */

export class Timers {
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #timers = new Map();

  /** @param {(name: string) => void} elapsed */
  constructor(elapsed) {
    this.elapsed = elapsed;
  }

  /**
   * @param {string} name
   * @param {number} ms
   */
  set(name, ms) {
    this.clear(name);
    const fire = () => {
      this.#timers.delete(name);
      this.elapsed(name);
    };
    this.#timers.set(name, setTimeout(fire, ms));
  }

  /** @param {string} name */
  clear(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  clearAll() {
    for (const name of [...this.#timers.keys()]) this.clear(name);
  }
}
