/** An edit in progress, without a DOM: typed values on top of a record that may change underneath. */

import { clean } from '../../sdk/index.js';
import { display } from './display.js';
import { headFields } from './plan.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../../sdk/index.js').ObjectType} ObjectType
 * @typedef {import('../../sdk/index.js').Field} Field
 */

/** Text that does not parse as JSON or a number yet. It is kept as typed and counts as a problem. */
export class Unparsed {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }

  toString() {
    return this.text;
  }
}

export class Edit {
  /**
   * @param {ObjectType} type
   * @param {Record<string, any>} base the record’s values; for a new record, its defaults
   * @param {{isNew?: boolean}} [about]
   */
  constructor(type, base, { isNew = false } = {}) {
    this.isNew = isNew;
    this.base = base;
    this.type = type;
    /** @type {Map<string, Field>} */
    this.fields = new Map();
    /** @type {Map<string, any>} typed values by field: a wire value, or text that is not one yet */
    this.typed = new Map();
    /** @type {Map<string, any>} values that others wrote to fields edited here, by field */
    this.incoming = new Map();
    this.use(type);
  }

  /**
   * Switch to a newer version of the type. Typed values stay, even in fields the type no longer has.
   * @param {ObjectType} type
   */
  use(type) {
    this.type = type;
    this.fields = new Map([...headFields(type), ...type.fields].map((field) => [field.name, field]));
  }

  /**
   * Apply a newer version of the record. Fields not edited here follow it.
   * @param {Record<string, any>} base
   */
  rebase(base) {
    for (const name of this.typed.keys())
      if (!same(base[name] ?? null, this.base[name] ?? null)) this.incoming.set(name, base[name] ?? null);
    this.base = base;
    for (const [name, value] of this.typed) if (same(value, base[name] ?? null)) this.forget(name);
  }

  /**
   * Mark values as saved: the record has them, however they were spelled. A field edited again since then stays edited.
   * @param {Record<string, any>} values
   */
  saved(values) {
    this.base = { ...this.base, ...values };
    for (const name of Object.keys(values)) this.incoming.delete(name);
    for (const [name, typed] of this.typed) {
      const field = this.fields.get(name);
      if (field && problemOf(field, typed) === null && same(clean(field, typed), this.base[name] ?? null))
        this.forget(name);
    }
  }

  /** Discard everything that was typed. */
  reset() {
    this.typed.clear();
    this.incoming.clear();
  }

  /** @param {string} name */
  forget(name) {
    this.typed.delete(name);
    this.incoming.delete(name);
  }

  /**
   * Set a field to what the user entered.
   * @param {string} name
   * @param {any} value a wire value or the text of an input; empty text is null
   */
  set(name, value) {
    const given = value === '' ? null : value;
    if (same(given, this.base[name] ?? null)) this.forget(name);
    else this.typed.set(name, given);
  }

  /** The record’s values, overlaid with typed ones. */
  get values() {
    return { ...this.base, ...Object.fromEntries(this.typed) };
  }

  get dirty() {
    return this.typed.size > 0;
  }

  /**
   * Return the problems by field. For a new record, missing required fields count too.
   * @returns {Map<string, string>}
   */
  problems() {
    const found = new Map();
    const asked = this.isNew ? this.fields.keys() : this.typed.keys();
    for (const name of asked) {
      const field = this.fields.get(name);
      const problem = field ? problemOf(field, this.values[name] ?? null) : words.form.fieldGone;
      if (problem) found.set(name, problem);
    }
    return found;
  }

  /**
   * Return the wire values to save: the changed ones, or all of a new record. A cleared field of a new record is sent
   *   as
   * null, or the server would fill in its default. Call this only when there are no problems.
   * @returns {Record<string, any>}
   */
  result() {
    /** @type {Record<string, any>} */
    const out = {};
    const names = this.isNew
      ? [...this.fields.keys()].filter((name) => this.typed.has(name) || (this.values[name] ?? null) !== null)
      : [...this.typed.keys()];
    for (const name of names) {
      const value = clean(/** @type {Field} */ (this.fields.get(name)), this.values[name]);
      if (this.isNew || !same(value, this.base[name] ?? null)) out[name] = value;
    }
    return out;
  }
}

/**
 * Return the typed values as text to read and copy, with their labels.
 * @param {Edit} edit
 * @returns {[string, string][]}
 */
export function typedTexts(edit) {
  return [...edit.typed].map(([name, value]) => {
    const field = edit.fields.get(name) ?? /** @type {Field} */ ({ name, kind: 'text', label: name });
    return [field.label || name, value instanceof Unparsed ? value.text : textOf(field, value)];
  });
}

/**
 * @param {Field} field
 * @param {any} value
 */
function textOf(field, value) {
  try {
    return display(field, clean(field, value)) || words.values.empty;
  } catch {
    return String(value);
  }
}

/**
 * @param {Field} field
 * @param {any} value
 * @returns {string | null}
 */
function problemOf(field, value) {
  if (value instanceof Unparsed && field.kind === 'json') return words.form.invalidJson(field.label || field.name);
  if (value === null) return field.required ? words.form.required(field.label || field.name) : null;
  try {
    clean(field, value);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/**
 * @param {any} a
 * @param {any} b
 * @returns {boolean}
 */
function same(a, b) {
  return a === b || (a !== null && b !== null && typeof a === 'object' && JSON.stringify(a) === JSON.stringify(b));
}

/**
 * Return the initial values of a new record.
 * @param {ObjectType} type
 * @returns {Record<string, any>}
 */
export function defaults(type) {
  /** @type {Record<string, any>} */
  const values = Object.fromEntries(
    type.fields
      .filter((field) => field.default !== null && field.default !== undefined)
      .map((field) => [field.name, field.default]),
  );
  if (type.subtypes.length) values.object_type = type.subtypes[0].value;
  if (type.statuses.length) values.status = type.statuses[0].value;
  return values;
}
