/** PURE: schema revisions that have come and are not run yet: each runs where the log, or the rows, reach it. */

/** @typedef {import('./types.js').Revision} Revision */

export class Revisions {
  /** @type {Map<number, Revision>} */
  #known = new Map();

  /**
   * Take in the answer to `schema`: a version it leaves out has no commands.
   * @param {{from: number, to: number, revisions: Revision[]}} answer
   */
  add({ from, to, revisions }) {
    for (let version = from + 1; version <= to; version++) this.#known.set(version, { schema_version: version, commands: [] });
    for (const revision of revisions) this.#known.set(revision.schema_version, revision);
  }

  /**
   * Return the revisions that lead from one version to another, or null when some have not come.
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
   * @param {number} version where the replica is
   */
  newest(version) {
    return Math.max(version, ...this.#known.keys());
  }

  clear() {
    this.#known.clear();
  }
}
