/** Pure: run a query again whenever a table it reads has changed. */

import { MoatError } from './errors.js';

/** @typedef {Record<string, string[] | null>} Changed */

/**
 * Read now and after each relevant change. `listener` gets every result that differs from the last. Returns a function
 * that stops it.
 * @param {{
 *   read: () => Promise<any>, onChange: (subscriber: (changed: Changed) => void) => () => void,
 *   listener: (rows: any[]) => void, failed: (error: MoatError) => void
 * }} about `read` returns `rows` or `records`, and the `tables` they come from
 * @returns {() => void}
 */
export function watch({ read, onChange, listener, failed }) {
  /** @type {Set<string> | null} */
  let tables = null;
  let running = false, again = false, stopped = false, last = '';
  const run = async () => {
    if (running) {
      again = true;
      return;
    }
    running = true;
    try {
      const { rows, records = rows, tables: from } = await read();
      tables = new Set(from);
      const text = JSON.stringify(records);
      if (!stopped && text !== last) listener(records);
      last = text;
    } catch (error) {
      // The table may not exist yet, or no longer: read again after any change.
      tables = null;
      last = '';
      if (!stopped) failed(MoatError.from(error));
    } finally {
      running = false;
      if (again && !stopped) {
        again = false;
        void run();
      }
    }
  };
  const stop = onChange((changed) => {
    if (tables === null || Object.keys(changed).some((table) => tables?.has(table))) void run();
  });
  void run();
  return () => {
    stopped = true;
    stop();
  };
}
