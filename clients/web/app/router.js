/** Routes: the part of the address after `#`. Uses no DOM, so tests need none. */

/**
 * @typedef {{page: 'home'}
 *   | {page: 'list', table: string}
 *   | {page: 'record', table: string, id: string}
 *   | {page: 'new', table: string}
 *   | {page: 'fix', op: number}
 *   | {page: 'outbox'}
 *   | {page: 'diagnostics'}} Route
 */

/**
 * Parse an address. Unknown addresses lead home.
 * @param {string} hash
 * @returns {Route}
 */
export function parse(hash) {
  const [kind, table, ...rest] = hash
    .replace(/^#?\/?/, '')
    .split('/')
    .map(decode);
  if (kind === 'outbox' || kind === 'diagnostics') return { page: kind };
  if (kind === 'fix' && /^\d+$/.test(table ?? '')) return { page: 'fix', op: Number(table) };
  if (kind === 'new' && table) return { page: 'new', table };
  if (kind === 'o' && table)
    return rest.length && rest[0] !== '' ? { page: 'record', table, id: rest[0] } : { page: 'list', table };
  return { page: 'home' };
}

/**
 * Return the address of a route.
 * @param {Route} route
 * @returns {string}
 */
export function address(route) {
  switch (route.page) {
    case 'list':
      return `#/o/${encodeURIComponent(route.table)}`;
    case 'record':
      return `#/o/${encodeURIComponent(route.table)}/${encodeURIComponent(route.id)}`;
    case 'new':
      return `#/new/${encodeURIComponent(route.table)}`;
    case 'fix':
      return `#/fix/${route.op}`;
    case 'home':
      return '#/';
    default:
      return `#/${route.page}`;
  }
}

/** @param {string} part */
function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
