/**
 * Pure: one verification (docs/spec/protocol.md §9): compare digests, bisect the ranges that differ, and repair those.
 * It reads the replica through `port` and returns messages to send and repairs to apply.
 */

/** @typedef {[string | null, string | null]} Range */
/** @typedef {[number, string]} Sum count and digest */
/**
 * @typedef {{
 *   digest: (table: string, range?: Range) => Sum,
 *   cuts: (table: string, range: Range, pieces: number) => string[],
 *   tables: () => string[]
 * }} Port
 * @typedef {{table: string, range: Range}} Task
 * @typedef {{send: Record<string, any>} | {repair: import('./replica.js').RowsFrame[]}} VerifyStep
 */

/** A range of at most this many records is fetched as a whole. */
const SMALL = 500;
const PIECES = 16;
const ALPHABET = [...'-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz'];
const MOST_CUTS = 63;

export class Verification {
  /** Position of the first reply, which the replica equals after the repair. */
  /** @type {{cursor: number, state_hash: string} | null} */
  at = null;
  /** The highest cursor of a reply: fetched rows may be as new as that. */
  latest = 0;
  /** @type {Record<string, {count: number, server: number, equal: boolean}>} */
  tables = {};
  repaired = 0;
  done = false;
  #ref = 0;
  #sent = 0;
  /** @type {Task[]} ranges known to differ */
  #differing = [];
  /** @type {Task | null} the table and ranges asked about */
  #asked = null;
  /** @type {Range[]} */
  #ranges = [];
  /** @type {import('./replica.js').RowsFrame[]} */
  #rows = [];

  /**
   * @param {Port} port
   * @param {() => number} nextRef
   * @param {number} [mostRanges] the most ranges the server accepts in one message
   */
  constructor(port, nextRef, mostRanges = MOST_CUTS + 1) {
    this.port = port;
    this.nextRef = nextRef;
    this.mostCuts = Math.max(1, mostRanges - 1);
  }

  /** @returns {VerifyStep[]} */
  start() {
    this.#sent = this.#ref = this.nextRef();
    return [{ send: { type: 'verify', ref: this.#ref } }];
  }

  /** Return whether a reply belongs to this verification. @param {{ref?: number}} envelope */
  owns(envelope) {
    return envelope.ref !== undefined && envelope.ref >= this.#sent && envelope.ref <= this.#ref;
  }

  /** Whether a table differed. */
  get differs() {
    return Object.values(this.tables).some((table) => !table.equal);
  }

  /**
   * Process a `verify` reply or the `rows` of a repair.
   * @param {Record<string, any>} envelope
   * @param {string[]} lines
   * @returns {VerifyStep[]}
   */
  answer(envelope, lines) {
    if (envelope.type === 'rows') return this.#repaired(envelope, lines);
    this.latest = Math.max(this.latest, envelope.cursor);
    if (envelope.tables) this.#compareTables(envelope);
    else if (envelope.ranges) this.#compareRanges(envelope.ranges);
    return this.#next();
  }

  /** @param {Record<string, any>} envelope */
  #compareTables({ cursor, state_hash, tables }) {
    this.at = { cursor, state_hash };
    const known = new Set(this.port.tables());
    for (const [table, [count, digest]] of Object.entries(tables)) {
      const [ownCount, ownDigest] = this.port.digest(table);
      const equal = ownCount === count && ownDigest === digest;
      this.tables[table] = { count: ownCount, server: count, equal };
      if (!equal && known.has(table)) this.#add({ table, range: [null, null] }, Math.max(count, ownCount));
    }
  }

  /** @param {Sum[]} sums */
  #compareRanges(sums) {
    const { table } = /** @type {Task} */ (this.#asked);
    this.#asked = null;
    sums.forEach(([count, digest], i) => {
      const range = this.#ranges[i];
      const [ownCount, ownDigest] = this.port.digest(table, range);
      if (ownCount !== count || ownDigest !== digest) this.#add({ table, range }, Math.max(count, ownCount));
    });
  }

  /** @type {Task[]} small enough to fetch */
  #small = [];

  /**
   * @param {Task} task
   * @param {number} count
   */
  #add(task, count) {
    if (count <= SMALL) this.#small.push(task);
    else this.#differing.push(task);
  }

  /** @returns {VerifyStep[]} */
  #next() {
    const small = this.#small.shift();
    if (small) return this.#ask({ type: 'repair', table: small.table, low: small.range[0], high: small.range[1] });
    const task = this.#differing.shift();
    if (!task) {
      this.done = true;
      return [];
    }
    const own = this.port.cuts(task.table, task.range, Math.min(PIECES, this.mostCuts + 1));
    // Without own records to cut at (the server has many that are missing here), cut by the next character.
    const cuts = own.length ? own : guesses(task.range).slice(0, this.mostCuts);
    if (!cuts.length) return this.#ask({ type: 'repair', table: task.table, low: task.range[0], high: task.range[1] });
    this.#asked = task;
    this.#ranges = split(task.range, cuts);
    return this.#ask({ type: 'verify', table: task.table, ranges: this.#ranges });
  }

  /**
   * @param {Record<string, any>} message
   * @returns {VerifyStep[]}
   */
  #ask(message) {
    this.#ref = this.nextRef();
    return [{ send: { ...message, ref: this.#ref } }];
  }

  /**
   * @param {Record<string, any>} envelope
   * @param {string[]} lines
   * @returns {VerifyStep[]}
   */
  #repaired(envelope, lines) {
    const { table, columns, deleted = [], range } = envelope;
    this.#rows.push({ table, columns, deleted, range, lines });
    if (envelope.remaining) return [];
    const frames = this.#rows;
    this.#rows = [];
    this.repaired++;
    return [{ repair: frames }, ...this.#next()];
  }
}

/**
 * Cut an inclusive range after each of the IDs. Record IDs contain no control characters, so `id\u0001` is the first
 * text that sorts after `id` and before any other ID.
 * @param {Range} range
 * @param {string[]} cuts
 * @returns {Range[]}
 */
export function split([low, high], cuts) {
  /** @type {Range[]} */
  const out = [];
  let from = low;
  for (const cut of cuts) {
    out.push([from, cut]);
    from = `${cut}\u0001`;
  }
  out.push([from, high]);
  return out;
}

/**
 * Return texts that cut a range by the character after the common prefix of its ends.
 * @param {Range} range
 * @returns {string[]}
 */
export function guesses([low, high]) {
  const from = (low ?? '').replace(/\u0001$/, ''), to = high ?? '';
  let shared = 0;
  while (shared < from.length && from[shared] === to[shared]) shared++;
  const inside = (/** @type {string} */ text) => (low === null || text > low) && (high === null || text < high);
  for (const prefix of [from.slice(0, shared), from]) {
    const found = ALPHABET.map((character) => prefix + character).filter(inside);
    if (found.length) return found.slice(0, MOST_CUTS);
  }
  return [];
}
