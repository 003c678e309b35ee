/** Pure: errors of the SDK: a code for programs, and a message that tells people what to do. */

/** An expected failure. It travels from the worker to the page as `{code, message, field, details}`. */
export class MoatError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{field?: string, details?: unknown}} [more]
   */
  constructor(code, message, more = {}) {
    super(message);
    this.name = 'MoatError';
    this.code = code;
    this.field = more.field;
    this.details = more.details;
  }

  /** Return the form that is posted between threads. */
  toJSON() {
    return { code: this.code, message: this.message, field: this.field, details: this.details };
  }

  /**
   * Return a thrown value as a MoatError.
   * @param {unknown} error
   * @returns {MoatError}
   */
  static from(error) {
    if (error instanceof MoatError) return error;
    return new MoatError('internal', error instanceof Error ? error.message : String(error));
  }
}
