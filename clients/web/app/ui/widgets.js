/** One input per field kind. A widget shows a value, reports input, and never loses what is being typed. */

import { fromLocalInput, toLocalInput } from '../forms/display.js';
import { Unparsed } from '../forms/edit.js';
import { readNumber, typedNumber } from '../forms/numbers.js';
import { h, isFocused, uid } from './dom.js';
import { jsonWidget } from './json.js';
import { referenceWidget } from './reference.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../../sdk/index.js').Field} Field
 * @typedef {{id: string, title: string}} Found
 * @typedef {{search: (field: Field, text: string) => Promise<Found[]>,
 *   title: (field: Field, id: string) => Promise<string>,
 *   open?: (field: Field, id: string) => string | null}} References
 *   `open`: the address of the record a reference points to
 * @typedef {{element: HTMLElement, input: HTMLElement, show: (value: any) => void,
 *   enable: (enabled: boolean) => void}} Widget
 *   `show` does not change a focused input whose text already means that value
 */

/**
 * Create the widget of a field.
 * @param {Field} field
 * @param {{oninput: (value: any) => void, options?: Record<string, any>, references: References}} about
 * @returns {Widget}
 */
export function widget(field, { oninput, options = {}, references }) {
  switch (field.kind) {
    case 'boolean':
      return checkbox(field, oninput);
    case 'choice':
      return select(field, oninput);
    case 'reference':
      return referenceWidget(field, oninput, references);
    case 'json':
      return jsonWidget(field, oninput);
    case 'date':
      return textual(line(field, { type: 'date', min: '0001-01-01', max: '9999-12-31' }), oninput);
    case 'datetime':
      return textual(line(field, { type: 'datetime-local' }), oninput, { read: fromLocalInput, write: toLocalInput });
    case 'integer':
    case 'real':
    case 'decimal':
      return number(field, oninput);
    default:
      return textual(options.multi ? area(field, 4) : line(field, {}), oninput);
  }
}

/**
 * @param {Field} field
 * @param {Record<string, any>} properties
 */
function line(field, properties) {
  return h('input', {
    type: 'text',
    id: uid(field.name),
    name: field.name,
    autocomplete: 'off',
    required: field.required === true,
    ...properties,
  });
}

/**
 * @param {Field} field
 * @param {number} rows
 * @param {string} [className]
 */
function area(field, rows, className) {
  return h('textarea', {
    id: uid(field.name),
    name: field.name,
    rows,
    required: field.required === true,
    class: className ?? null,
    spellcheck: className !== 'code',
  });
}

/**
 * @param {HTMLInputElement | HTMLTextAreaElement} input
 * @param {(value: any) => void} oninput
 * @param {{read?: (text: string) => any, write?: (value: any) => string}} [codec]
 * @returns {Widget}
 */
function textual(input, oninput, { read = (text) => text, write = String } = {}) {
  input.addEventListener('input', () => oninput(read(input.value)));
  return {
    element: input,
    input,
    show(value) {
      const text = value === null || value === undefined ? '' : write(value);
      const stands = isFocused(input) && JSON.stringify(read(input.value)) === JSON.stringify(value ?? read(''));
      if (input.value !== text && !stands) input.value = text;
    },
    enable: (enabled) => {
      input.readOnly = !enabled;
      input.disabled = !enabled && /date/.test(input.type);
    },
  };
}

/**
 * @param {Field} field
 * @param {(value: any) => void} oninput
 * @returns {Widget}
 */
function number(field, oninput) {
  const input = line(field, { inputMode: field.kind === 'integer' ? 'numeric' : 'decimal', class: 'number' });
  return textual(input, oninput, {
    read: (text) => readNumber(field.kind, text),
    write: (value) => (value instanceof Unparsed ? value.text : typedNumber(value)),
  });
}

/**
 * @param {Field} field
 * @param {(value: any) => void} oninput
 * @returns {Widget}
 */
function checkbox(field, oninput) {
  const input = h('input', { type: 'checkbox', id: uid(field.name), name: field.name, class: 'switch' });
  input.addEventListener('input', () => oninput(input.checked));
  return {
    element: input,
    input,
    show: (value) => {
      input.checked = value === true;
    },
    enable: (enabled) => {
      input.disabled = !enabled;
    },
  };
}

/**
 * @param {Field} field
 * @param {(value: any) => void} oninput
 * @returns {Widget}
 */
function select(field, oninput) {
  const input = h('select', { id: uid(field.name), name: field.name, required: field.required === true });
  const choices = field.choices ?? [];
  input.append(
    ...(field.required ? [] : [h('option', { value: '' }, words.values.none)]),
    ...choices.map((choice) => h('option', { value: choice.value }, choice.label)),
  );
  input.addEventListener('input', () => oninput(input.value === '' ? null : input.value));
  return {
    element: input,
    input,
    show(value) {
      const wanted = value ?? '';
      if (
        wanted !== '' &&
        !choices.some((choice) => choice.value === wanted) &&
        !input.querySelector('option.unknown')
      ) {
        input.append(h('option', { value: wanted, class: 'unknown' }, words.form.notAChoice(wanted)));
      }
      if (field.required && wanted === '' && !input.querySelector('option[value=""]'))
        input.prepend(h('option', { value: '' }, words.form.choose));
      input.value = wanted;
    },
    enable: (enabled) => {
      input.disabled = !enabled;
    },
  };
}
