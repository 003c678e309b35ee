/** Titles of records, and labels inside sentences. */

/** @typedef {import('../../sdk/index.js').ObjectType} ObjectType */

/**
 * Return the title field of a type: the declared one, or the first text field; null when there is neither.
 * @param {ObjectType | undefined} type
 * @returns {string | null}
 */
export function titleField(type) {
  if (type?.title_field) return type.title_field;
  return type?.fields.find((field) => field.kind === 'text')?.name ?? null;
}

/**
 * Return the title of a record, or its ID while it has none.
 * @param {ObjectType | undefined} type
 * @param {Record<string, any> | null | undefined} record
 * @returns {string}
 */
export function titleOf(type, record) {
  const field = titleField(type);
  const title = field ? (record?.[field] ?? '') : '';
  return title === '' ? String(record?.id ?? '') : String(title);
}

/**
 * Return a label for use inside a sentence: “Line item” → “line item”, but “VAT rate” unchanged.
 * @param {string} label
 * @returns {string}
 */
export function inSentence(label) {
  return /^\p{Lu}\p{Lu}/u.test(label) ? label : label.charAt(0).toLowerCase() + label.slice(1);
}
