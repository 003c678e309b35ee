/** Pure: sort rows by one value each, empty values last. */

/** @typedef {string | number | null} Sortable */

/** @typedef {(a: Sortable, b: Sortable, direction: number) => number} Comparison `direction` is 1 or -1 */

/**
 * Compare two values as people expect: numbers before text, text without regard to case, null after everything.
 * @type {Comparison}
 */
export function compare(a, b, direction) {
  if (a === b) return 0;
  if (a === null) return 1;
  if (b === null) return -1;
  const numbers = Number(typeof b === 'number') - Number(typeof a === 'number');
  if (numbers) return numbers * direction;
  const x = folded(a), y = folded(b);
  return (x < y ? -1 : x > y ? 1 : 0) * direction;
}

/**
 * Compare two values as an index of SQLite does: null first, text by its bytes.
 * @type {Comparison}
 */
export function compareStored(a, b, direction) {
  return isHigh(a) && isHigh(b) && a !== b ? compareBytes(a, b) * direction : comparePlain(a, b, direction);
}

/**
 * Compare stored values whose order by UTF-16 unit equals the order by byte.
 * @type {Comparison}
 */
function comparePlain(a, b, direction) {
  if (a === b) return 0;
  const nulls = Number(b === null) - Number(a === null),
    numbers = Number(typeof b === 'number') - Number(typeof a === 'number');
  return (nulls || numbers || (/** @type {any} */ (a) < /** @type {any} */ (b) ? -1 : 1)) * direction;
}

/**
 * Compare two texts by their bytes in UTF-8. JavaScript puts 😀, whose halves are surrogates, before ﬀ; SQLite puts it
 * after.
 * @param {string} a
 * @param {string} b
 */
function compareBytes(a, b) {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i), y = b.charCodeAt(i);
    if (x === y) continue;
    return x >= SURROGATES && y >= SURROGATES ? raised(x) - raised(y) : x - y;
  }
  return a.length - b.length;
}

/**
 * Return whether a value is text that JavaScript and SQLite may order differently.
 * @param {Sortable} value
 * @returns {value is string}
 */
const isHigh = (value) => typeof value === 'string' && /[\ud800-\uffff]/.test(value);

const SURROGATES = 0xd800, BEYOND = 0xe000;
/** Raise a surrogate above all other units: it encodes a character beyond them. */
const raised = (/** @type {number} */ unit) => (unit < BEYOND ? unit + 0x10000 : unit);

const folded = (/** @type {string | number} */ value) => (typeof value === 'string' ? value.toLowerCase() : value);

/** Sorts rows: a key and a value each. Few values repeat in many rows, so only distinct values are compared. */
export class Sorter {
  count = 0;
  #keys = new Float64Array(4096);
  #codes = new Uint32Array(4096);
  /** @type {Map<Sortable, number>} */
  #codeOf = new Map();

  /**
   * @param {number} key
   * @param {Sortable} value
   */
  add(key, value) {
    if (this.count === this.#keys.length) {
      this.#keys = grown(this.#keys, new Float64Array(this.count * 2));
      this.#codes = grown(this.#codes, new Uint32Array(this.count * 2));
    }
    let code = this.#codeOf.get(value);
    if (code === undefined) this.#codeOf.set(value, code = this.#codeOf.size);
    this.#keys[this.count] = key;
    this.#codes[this.count++] = code;
  }

  /**
   * Return the keys in order. Rows of equal value keep the order in which they were added.
   * @param {number} direction
   * @param {Comparison} [by]
   * @returns {Float64Array<ArrayBuffer>}
   */
  sorted(direction, by = compare) {
    const values = [...this.#codeOf.keys()];
    const ranks = new Uint32Array(values.length);
    ordered(values, direction, by).forEach((code, rank) => { ranks[code] = rank; });
    const places = new Uint32Array(values.length + 1);
    for (let i = 0; i < this.count; i++) places[ranks[this.#codes[i]] + 1]++;
    for (let rank = 1; rank < places.length; rank++) places[rank] += places[rank - 1];
    const out = new Float64Array(this.count);
    for (let i = 0; i < this.count; i++) out[places[ranks[this.#codes[i]]]++] = this.#keys[i];
    return out;
  }
}

/**
 * Return the indexes of distinct values in order. Texts are folded once, not per comparison.
 * @param {Sortable[]} values
 * @param {number} direction
 * @param {Comparison} by
 * @returns {number[]}
 */
function ordered(values, direction, by) {
  const all = values.map((_, i) => i);
  if (by === compareStored && !values.some(isHigh)) by = comparePlain;
  if (by !== compare || values.some((value) => typeof value !== 'string'))
    return all.sort((a, b) => by(values[a], values[b], direction));
  const texts = values.map((value) => String(value).toLowerCase());
  return all.sort((a, b) => (texts[a] < texts[b] ? -direction : texts[a] > texts[b] ? direction : 0));
}

/**
 * @template {Float64Array | Uint32Array} T
 * @param {T} from
 * @param {T} to
 * @returns {T}
 */
function grown(from, to) {
  to.set(from);
  return to;
}
