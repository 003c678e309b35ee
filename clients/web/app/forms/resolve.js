/** Choose the layout for a record, with a default for types that have none. Mirrors `layouts/` on the server. */

/**
 * @typedef {import('../../sdk/index.js').Layout} Layout
 * @typedef {import('../../sdk/index.js').ObjectType} ObjectType
 * @typedef {Record<string, any> & {type: string, elements?: Element[]}} Element an element of a `layout_json`
 */

const ANY = '*';

/**
 * Return the most specific layout for a record: subtype and status, subtype, status, any; null when none matches.
 * @param {Layout[]} layouts
 * @param {string} objectName
 * @param {string | null | undefined} objectType
 * @param {string | null | undefined} status
 * @returns {Layout | null}
 */
export function resolve(layouts, objectName, objectType, status) {
  let best = null;
  let bestRank = -1;
  for (const layout of layouts) {
    if (layout.object_name !== objectName) continue;
    if (layout.object_type !== ANY && layout.object_type !== objectType) continue;
    if (layout.status !== ANY && layout.status !== status) continue;
    const rank = 2 * Number(layout.object_type !== ANY) + Number(layout.status !== ANY);
    if (rank > bestRank) [best, bestRank] = [layout, rank];
  }
  return best;
}

/**
 * Return the default layout of an object type.
 * @param {ObjectType} type
 * @returns {Element}
 */
export function defaultLayout(type) {
  const head = [type.subtypes.length ? 'object_type' : '', type.statuses.length ? 'status' : ''].filter(Boolean);
  const names = type.fields.map((field) => field.name);
  if (names.includes(type.title_field)) names.unshift(...names.splice(names.indexOf(type.title_field), 1));
  /** @type {Element[]} */
  const elements = head.length ? [{ type: 'HorizontalLayout', elements: head.map(control) }] : [];
  return { type: 'VerticalLayout', elements: [...elements, ...names.map(control)] };
}

/**
 * @param {string} name
 * @returns {Element}
 */
function control(name) {
  return { type: 'Control', scope: `#/properties/${name}` };
}

/**
 * Return the field a scope names, or null.
 * @param {unknown} scope
 * @returns {string | null}
 */
export function fieldOf(scope) {
  const match = typeof scope === 'string' ? /^#\/properties\/([a-z][a-z0-9_]*)$/.exec(scope) : null;
  return match ? match[1] : null;
}
