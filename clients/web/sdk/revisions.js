/** Pure: schema revisions that have arrived but not run: each runs where the log or the rows reach it. */

/** @typedef {import('./types.js').Revision} Revision */

export class Revisions {
  /** @type {Map<number, Revision>} */
  #known = new Map();

  /**
   * Add the reply to `schema`. A version it leaves out has no commands.
   * @param {{from: number, to: number, revisions: Revision[]}} answer
   */
  add({ from, to, revisions }) {
    for (let version = from + 1; version <= to; version++)
      this.#known.set(version, { schema_version: version, commands: [] });
    for (const revision of revisions) this.#known.set(revision.schema_version, revision);
  }

  /**
   * Return the revisions between two versions, or null if some have not arrived.
   * @param {number} from
   * @param {number} to
   * @returns {Revision[] | null}
   */
  between(from, to) {
    const out = [];
    for (let version = from + 1; version <= to; version++) {
      const revision = this.#known.get(version);
      if (!revision) return null;
      out.push(revision);
    }
    return out;
  }

  /**
   * Return the newest version that can be reached.
   * @param {number} version of the replica
   */
  newest(version) {
    return Math.max(version, ...this.#known.keys());
  }

  clear() {
    this.#known.clear();
  }
}
