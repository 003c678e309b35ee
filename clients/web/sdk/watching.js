/** A query that runs again whenever a table it reads has changed. */

import { MoatError } from './errors.js';

/** @typedef {Record<string, string[] | null>} Changed */

/**
 * Read now and after each change that matters; `listener` hears each result that differs. Returns a function that ends it.
 * @param {{
 *   read: () => Promise<any>, onChange: (subscriber: (changed: Changed) => void) => () => void, listener: (rows: any[]) => void,
 *   failed: (error: MoatError) => void
 * }} about `read` gives `rows` or `records`, and the `tables` they are from
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
      // A table may be on its way (or gone): look again when anything changes.
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
