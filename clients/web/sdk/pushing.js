/**
 * Pure: send pending ops to the server: one push at a time, within the server’s limits, and narrowed down to the
 * transaction at fault when the server rejects a whole push.
 */

/** @typedef {import('./types.js').OpResult} OpResult */
/** @typedef {{op_id: number, tx: string | null, wire: Record<string, any>}} WireOp */
/**
 * @typedef {(maxOps: number, maxBytes: number) => WireOp[]} Pending reads the next ops in op order: whole transactions
 *   within the limits, but at least one
 */

const DEFAULTS = { ops: 500, frame: 1 << 20 };
/** Errors caused by the push itself; any other means that the server cannot process it now. */
const PUSH_FAULTS = new Set(['malformed', 'too_large', 'too_many_ops', 'op_order']);

export class Pushing {
  limits = { ...DEFAULTS };
  /** @type {{ref: number, ops: WireOp[]} | null} */
  inFlight = null;
  /** Nothing is sent until `resume`. */
  waiting = false;
  #maxOps = Infinity;
  #failures = 0;

  /** @param {Pending} pending */
  constructor(pending) {
    this.pending = pending;
  }

  /** Start over on a new connection: ops in flight are sent again, and the server recognizes those it accepted. */
  reset() {
    this.inFlight = null;
    this.waiting = false;
  }

  /**
   * Return the ops to send now, or null.
   * @param {number} ref
   * @returns {Record<string, any>[] | null}
   */
  next(ref) {
    if (this.inFlight || this.waiting) return null;
    const ops = this.pending(Math.min(this.limits.ops, this.#maxOps), Math.floor(this.limits.frame * 0.9));
    if (!ops.length) return null;
    this.inFlight = { ref, ops };
    return ops.map((op) => op.wire);
  }

  /**
   * Process an `ack`. Returns the final results, and whether to wait because the server could not process some ops now.
   * @param {OpResult[]} results
   * @returns {{results: OpResult[], wait: boolean}}
   */
  acknowledged(results) {
    this.inFlight = null;
    this.#maxOps = Infinity;
    const final = results.filter((result) => !(result.status === 'rejected' && result.code === 'internal'));
    this.waiting = final.length < results.length;
    this.#failures = this.waiting ? this.#failures + 1 : 0;
    return { results: final, wait: this.waiting };
  }

  /**
   * Process the rejection of a whole push: wait, send less at a time, or reject the one transaction at fault.
   * @param {string} code
   * @param {string} message
   * @returns {{wait: boolean, results: OpResult[]}}
   */
  rejected(code, message) {
    const ops = this.inFlight?.ops ?? [];
    this.inFlight = null;
    if (!PUSH_FAULTS.has(code)) {
      this.waiting = true;
      this.#failures++;
      return { wait: true, results: [] };
    }
    if (units(ops) > 1) {
      this.#maxOps = Math.max(1, Math.floor(ops.length / 2));
      return { wait: false, results: [] };
    }
    this.#maxOps = Infinity;
    return { wait: false, results: ops.map(({ op_id }) => ({ op_id, status: 'rejected', code, message })) };
  }

  /** End the wait. */
  resume() {
    this.waiting = false;
  }

  /** How often in a row the server could not process a push. */
  get failures() {
    return this.#failures;
  }
}

/**
 * Count the units that apply together: transactions, and ops without one.
 * @param {WireOp[]} ops
 */
const units = (ops) => new Set(ops.map((op) => op.tx ?? op.op_id)).size;
