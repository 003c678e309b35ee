/** Errors of the SDK: a code a program can read, a message a person can act on. */

/** An expected failure. It crosses from worker to page as `{code, message, field}`. */
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

  /** The form that crosses a thread. */
  toJSON() {
    return { code: this.code, message: this.message, field: this.field, details: this.details };
  }

  /**
   * Make a MoatError of whatever was thrown.
   * @param {unknown} error
   * @returns {MoatError}
   */
  static from(error) {
    if (error instanceof MoatError) return error;
    return new MoatError('internal', error instanceof Error ? error.message : String(error));
  }
}
