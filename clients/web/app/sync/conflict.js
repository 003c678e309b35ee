/** Ask about a conflict and turn the choices into a resolution: per field mine, theirs, or another value. */

import { fieldsOf } from './ops.js';

/**
 * @typedef {import('../../sdk/index.js').Conflict} Conflict
 * @typedef {import('../../sdk/index.js').ObjectType} ObjectType
 * @typedef {import('../../sdk/index.js').Field} Field
 * @typedef {'mine' | 'theirs' | 'own'} Pick
 * @typedef {{field: Field, base: any, mine: any, theirs: any}} ConflictField
 * @typedef {{kind: 'fields' | 'i_deleted' | 'they_deleted', fields: ConflictField[], others: Field[]}} Question
 *   `others`: fields of the same edit without a conflict; choosing mine, or field by field, keeps them
 */

/**
 * Return what to ask the user.
 * @param {Conflict} conflict
 * @param {ObjectType | undefined} type
 * @returns {Question}
 */
export function question(conflict, type) {
  const fields = fieldsOf(type);
  const fieldOf = (/** @type {string} */ name) =>
    fields.get(name) ?? /** @type {Field} */ ({ name, kind: 'json', label: name });
  const { base, mine, theirs } = conflict;
  const kind = mine === null ? 'i_deleted' : theirs === null ? 'they_deleted' : 'fields';
  const known = Object.keys({ ...base, ...mine, ...theirs }).filter((name) => name !== 'id' && name !== 'version');
  const differ = known.filter(
    (name) => !same(base?.[name], theirs?.[name]) || (mine !== null && name in mine && !same(base?.[name], mine[name])),
  );
  const names = kind === 'fields' ? conflict.fields : differ;
  return {
    kind,
    fields: names.map((name) => ({
      field: fieldOf(name),
      base: base?.[name] ?? null,
      mine: mine?.[name] ?? (kind === 'fields' ? null : (base?.[name] ?? null)),
      theirs: theirs?.[name] ?? null,
    })),
    others:
      kind === 'fields'
        ? Object.keys(mine ?? {})
            .filter((name) => !conflict.fields.includes(name) && !same(base?.[name], mine?.[name]))
            .map(fieldOf)
        : [],
  };
}

/**
 * Turn the user’s picks into an argument of `moat.resolve`.
 * @param {Question} asked
 * @param {Map<string, {pick: Pick, value?: any}>} picks by field
 * @returns {'mine' | 'theirs' | Record<string, any>}
 */
export function answer(asked, picks) {
  const chosen = asked.fields.map(({ field }) => picks.get(field.name)?.pick ?? 'mine');
  if (chosen.every((pick) => pick === 'mine')) return 'mine';
  if (chosen.every((pick) => pick === 'theirs') && !asked.others.length) return 'theirs';
  return Object.fromEntries(
    asked.fields.flatMap(({ field, theirs }) => {
      const pick = picks.get(field.name);
      if (!pick || pick.pick === 'mine') return [];
      return [[field.name, pick.pick === 'theirs' ? theirs : (pick.value ?? null)]];
    }),
  );
}

/**
 * @param {any} a
 * @param {any} b
 */
function same(a, b) {
  return JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
}
