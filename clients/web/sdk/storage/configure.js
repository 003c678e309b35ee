/** Settings every connection to a replica has, whatever it is stored in. */

/**
 * @param {import('../sql.js').Sql} sql
 * @param {'truncate' | 'memory'} journal
 * @returns {import('../sql.js').Sql}
 */
export function configure(sql, journal) {
  // A replica file comes from a server: nothing in its schema is to be trusted to run functions.
  for (const pragma of ['trusted_schema = OFF', 'cell_size_check = ON', `journal_mode = ${journal}`, 'synchronous = FULL', 'temp_store = MEMORY', 'cache_size = -32768', 'foreign_keys = OFF']) {
    sql.db.exec(`PRAGMA ${pragma}`);
  }
  return sql;
}
