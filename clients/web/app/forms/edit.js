/** An edit in progress, without a DOM: what the person typed, on top of a record that may change underneath. */

import { clean } from '../../sdk/values.js';
import { display } from './display.js';
import { headFields } from './plan.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../../sdk/types.js').ObjectType} ObjectType
 * @typedef {import('../../sdk/types.js').Field} Field
 */

/** A text that was to become JSON or a number and is none yet: kept as typed, and a problem until it parses. */
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
   * @param {Record<string, any>} base the record's values; of a new record its defaults
   * @param {{isNew?: boolean}} [about]
   */
  constructor(type, base, { isNew = false } = {}) {
    this.isNew = isNew;
    this.base = base;
    this.type = type;
    /** @type {Map<string, Field>} */
    this.fields = new Map();
    /** @type {Map<string, any>} what was typed, by field: a wire value, or a text that is none yet */
    this.typed = new Map();
    /** @type {Map<string, any>} values that others set meanwhile in fields that were typed into here */
    this.incoming = new Map();
    this.use(type);
  }

  /**
   * Go on with a newer version of the type. What was typed stays, also in a field that the type lost.
   * @param {ObjectType} type
   */
  use(type) {
    this.type = type;
    this.fields = new Map([...headFields(type), ...type.fields].map((field) => [field.name, field]));
  }

  /**
   * The record changed underneath: fields nobody touched here follow it.
   * @param {Record<string, any>} base
   */
  rebase(base) {
    for (const name of this.typed.keys()) if (!same(base[name] ?? null, this.base[name] ?? null)) this.incoming.set(name, base[name] ?? null);
    this.base = base;
    for (const [name, value] of this.typed) if (same(value, base[name] ?? null)) this.forget(name);
  }

  /**
   * What was typed is saved: the record has it now, whichever way it was spelled. A field typed into again meanwhile goes on from there.
   * @param {Record<string, any>} values
   */
  saved(values) {
    this.base = { ...this.base, ...values };
    for (const name of Object.keys(values)) this.incoming.delete(name);
    for (const [name, typed] of this.typed) {
      const field = this.fields.get(name);
      if (field && problemOf(field, typed) === null && same(clean(field, typed), this.base[name] ?? null)) this.forget(name);
    }
  }

  /** Take back everything that was typed. */
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
   * The person set a field.
   * @param {string} name
   * @param {any} value a wire value or the text of an input; an empty text is null
   */
  set(name, value) {
    const given = value === '' ? null : value;
    if (same(given, this.base[name] ?? null)) this.forget(name);
    else this.typed.set(name, given);
  }

  /** The values to show: typed ones over the record's. */
  get values() {
    return { ...this.base, ...Object.fromEntries(this.typed) };
  }

  get dirty() {
    return this.typed.size > 0;
  }

  /**
   * Return what is wrong, by field; for a new record required fields count too.
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
   * Return the wire values to save: the changed ones, or all of a new record; one that was emptied is null there, or a default
   * would come back. Call only without problems.
   * @returns {Record<string, any>}
   */
  result() {
    /** @type {Record<string, any>} */
    const out = {};
    const names = this.isNew ? [...this.fields.keys()].filter((name) => this.typed.has(name) || (this.values[name] ?? null) !== null) : [...this.typed.keys()];
    for (const name of names) {
      const value = clean(/** @type {Field} */ (this.fields.get(name)), this.values[name]);
      if (this.isNew || !same(value, this.base[name] ?? null)) out[name] = value;
    }
    return out;
  }
}

/**
 * Return what was typed as texts to read and copy, by label.
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
 * Return the values a new record starts with.
 * @param {ObjectType} type
 * @returns {Record<string, any>}
 */
export function defaults(type) {
  /** @type {Record<string, any>} */
  const values = Object.fromEntries(type.fields.filter((field) => field.default !== null && field.default !== undefined).map((field) => [field.name, field.default]));
  if (type.subtypes.length) values.object_type = type.subtypes[0].value;
  if (type.statuses.length) values.status = type.statuses[0].value;
  return values;
}
