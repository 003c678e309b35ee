/** A conflict as a person decides it: field by field mine, theirs or something else. */

import { fieldsOf } from './ops.js';

/**
 * @typedef {import('../../sdk/index.js').Conflict} Conflict
 * @typedef {import('../../sdk/types.js').ObjectType} ObjectType
 * @typedef {import('../../sdk/types.js').Field} Field
 * @typedef {'mine' | 'theirs' | 'own'} Side
 * @typedef {{field: Field, base: any, mine: any, theirs: any}} Contested
 * @typedef {{kind: 'fields' | 'i_deleted' | 'they_deleted', contested: Contested[], others: Field[]}} Question
 *   `others`: fields of the same edit that nobody else touched; they are kept with mine or with a choice per field
 */

/**
 * Return what the person is asked.
 * @param {Conflict} conflict
 * @param {ObjectType | undefined} type
 * @returns {Question}
 */
export function question(conflict, type) {
  const fields = fieldsOf(type);
  const fieldOf = (/** @type {string} */ name) => fields.get(name) ?? /** @type {Field} */ ({ name, kind: 'json', label: name });
  const { base, mine, theirs } = conflict;
  const kind = mine === null ? 'i_deleted' : theirs === null ? 'they_deleted' : 'fields';
  const known = Object.keys({ ...base, ...mine, ...theirs }).filter((name) => name !== 'id' && name !== 'version');
  const differ = known.filter((name) => !same(base?.[name], theirs?.[name]) || (mine !== null && name in mine && !same(base?.[name], mine[name])));
  const names = kind === 'fields' ? conflict.fields : differ;
  return {
    kind,
    contested: names.map((name) => ({ field: fieldOf(name), base: base?.[name] ?? null, mine: mine?.[name] ?? (kind === 'fields' ? null : base?.[name] ?? null), theirs: theirs?.[name] ?? null })),
    others: kind === 'fields' ? Object.keys(mine ?? {}).filter((name) => !conflict.fields.includes(name) && !same(base?.[name], mine?.[name])).map(fieldOf) : [],
  };
}

/**
 * Turn the person's picks into what `moat.resolve` takes.
 * @param {Question} asked
 * @param {Map<string, {side: Side, value?: any}>} picks by field
 * @returns {'mine' | 'theirs' | Record<string, any>}
 */
export function answer(asked, picks) {
  const sides = asked.contested.map(({ field }) => picks.get(field.name)?.side ?? 'mine');
  if (sides.every((side) => side === 'mine')) return 'mine';
  if (sides.every((side) => side === 'theirs') && !asked.others.length) return 'theirs';
  return Object.fromEntries(asked.contested.flatMap(({ field, theirs }) => {
    const pick = picks.get(field.name);
    if (!pick || pick.side === 'mine') return [];
    return [[field.name, pick.side === 'theirs' ? theirs : pick.value ?? null]];
  }));
}

/**
 * @param {any} a
 * @param {any} b
 */
function same(a, b) {
  return JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
}
