/** Settings of every connection to a replica, whatever its storage. */

import { MoatError } from '../errors.js';
import { words } from '../words.js';

/** SQLITE_CORRUPT, SQLITE_NOTADB */
const NO_DATABASE = new Set([11, 26]);

/**
 * Configure a connection. Throws `damaged` if the file is not a database.
 *
 * `wal` requires exclusive access to the file: the index of the log is then kept in the connection’s memory. Measured
 * in OPFS, it commits five times as fast as a rollback journal, because one flush is enough.
 * @param {import('../sql.js').Sql} sql
 * @param {'wal' | 'memory'} journal
 * @returns {import('../sql.js').Sql}
 */
export function configure(sql, journal) {
  // A replica file comes from a server, so its schema is not trusted to run functions.
  const alone = journal === 'wal' ? ['locking_mode = EXCLUSIVE', 'journal_size_limit = 16777216'] : [];
  try {
    for (const pragma of [
      ...alone,
      'trusted_schema = OFF',
      'cell_size_check = ON',
      `journal_mode = ${journal}`,
      'synchronous = FULL',
      'temp_store = MEMORY',
      'cache_size = -32768',
      'foreign_keys = OFF',
    ]) {
      sql.db.exec(`PRAGMA ${pragma}`);
    }
  } catch (error) {
    sql.close();
    if (!NO_DATABASE.has(/** @type {any} */ (error).resultCode & 0xff)) throw error;
    throw new MoatError('damaged', words.notADatabase(error));
  }
  return sql;
}
