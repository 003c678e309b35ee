/** The widget of a JSON field: a checklist, words, or pairs where the value fits, otherwise (or on demand) JSON. */

import { Unparsed } from '../forms/edit.js';
import { scalarOf, shapeOf, wordsOf } from '../forms/json.js';
import { button, h, isFocused, uid } from './dom.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../../sdk/index.js').Field} Field
 * @typedef {import('../forms/json.js').Shape} Shape
 * @typedef {import('./widgets.js').Widget} Widget
 */

/**
 * @param {Field} field
 * @param {(value: any) => void} oninput
 * @returns {Widget}
 */
export function jsonWidget(field, oninput) {
  const made = new JsonWidget(field, oninput);
  return {
    element: made.element,
    input: made.input,
    show: (value) => made.show(value),
    enable: (enabled) => made.enable(enabled),
  };
}

class JsonWidget {
  /**
   * @param {Field} field
   * @param {(value: any) => void} oninput
   */
  constructor(field, oninput) {
    this.field = field;
    this.oninput = oninput;
    this.raw = false;
    this.enabled = true;
    /** @type {any} */
    this.value = undefined;
    this.drawn = '';
    /** @type {HTMLInputElement | null} the input for words */
    this.line = null;
    this.input = h('textarea', { id: uid(field.name), name: field.name, rows: 5, class: 'code', spellcheck: false });
    this.input.addEventListener('input', () => this.set(parse(this.input.value)));
    this.nice = h('div', { class: 'json-nice' });
    this.toggle = button(words.form.editAsJson, () => this.flip(), { icon: 'code', kind: 'icon' });
    this.element = h('div', { class: 'json' }, this.nice, this.input, this.toggle);
  }

  flip() {
    this.raw = !this.raw;
    this.toggle.setAttribute('aria-pressed', String(this.raw));
    this.drawn = '';
    this.draw();
  }

  /** @param {any} value */
  set(value) {
    this.value = value;
    this.oninput(value);
  }

  /** @param {any} value */
  show(value) {
    this.value = value ?? null;
    this.draw();
  }

  /** @param {boolean} enabled */
  enable(enabled) {
    if (enabled === this.enabled) return;
    this.enabled = enabled;
    this.drawn = '';
    this.draw();
  }

  draw() {
    // Keep the input while the user types, even if the value would now suit another shape.
    if (this.value === null && this.line && isFocused(this.line) && wordsOf(this.line.value) === null) return;
    /** @type {Shape} */
    const shape =
      this.raw || isFocused(this.input) || this.value instanceof Unparsed ? { shape: 'text' } : shapeOf(this.value);
    const nice = shape.shape !== 'text';
    this.nice.hidden = !nice;
    this.input.hidden = nice;
    this.toggle.hidden = !nice && !this.raw;
    this.input.readOnly = !this.enabled;
    if (!nice) this.drawText();
    else this.drawNice(shape);
  }

  drawText() {
    this.drawn = '';
    const text =
      this.value === null ? '' : this.value instanceof Unparsed ? this.value.text : JSON.stringify(this.value, null, 2);
    const stands = isFocused(this.input) && JSON.stringify(parse(this.input.value)) === JSON.stringify(this.value);
    if (this.input.value !== text && !stands) this.input.value = text;
  }

  /** @param {Shape} shape */
  drawNice(shape) {
    const key = JSON.stringify([shape, this.value, this.enabled]);
    if (key === this.drawn) return;
    const focused = this.nice.contains(document.activeElement)
      ? [...this.nice.querySelectorAll('input')].findIndex(isFocused)
      : -1;
    // A focused input of words or values already shows the value.
    if (focused >= 0 && shape.shape !== 'checklist' && this.drawn) return;
    this.drawn = key;
    if (shape.shape === 'checklist') this.nice.replaceChildren(...this.checklist(shape.text, shape.done));
    else if (shape.shape === 'words') this.nice.replaceChildren(this.words());
    else this.nice.replaceChildren(...this.pairs());
    if (focused >= 0) this.nice.querySelectorAll('input')[focused]?.focus();
  }

  /**
   * @param {string} text
   * @param {string} done
   */
  checklist(text, done) {
    return this.value.map((/** @type {any} */ item, /** @type {number} */ at) => {
      const box = h('input', { type: 'checkbox', checked: item[done], disabled: !this.enabled });
      box.addEventListener('input', () =>
        this.set(
          this.value.map((/** @type {any} */ one, /** @type {number} */ index) =>
            index === at ? { ...one, [done]: box.checked } : one,
          ),
        ),
      );
      return h('label', { class: 'check' }, box, h('span', {}, item[text]));
    });
  }

  words() {
    const input = h('input', {
      type: 'text',
      value: this.value.join(', '),
      readOnly: !this.enabled,
      'aria-label': words.form.commaSeparated(this.field.label),
    });
    input.addEventListener('input', () => this.set(wordsOf(input.value)));
    this.line = input;
    return input;
  }

  pairs() {
    return Object.entries(this.value).map(([key, value]) => {
      if (typeof value === 'boolean') {
        const box = h('input', { type: 'checkbox', checked: value, disabled: !this.enabled });
        box.addEventListener('input', () => this.set({ ...this.value, [key]: box.checked }));
        return h('label', { class: 'check' }, box, h('span', {}, key));
      }
      const input = h('input', { type: 'text', value: value === null ? '' : String(value), readOnly: !this.enabled });
      input.addEventListener('input', () => this.set({ ...this.value, [key]: scalarOf(value, input.value) }));
      return h('label', { class: 'pair' }, h('span', {}, key), input);
    });
  }
}

/** @param {string} text */
function parse(text) {
  if (text.trim() === '') return null;
  try {
    return JSON.parse(text);
  } catch {
    return new Unparsed(text);
  }
}
