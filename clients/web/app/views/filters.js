/** The panel of a list: filters by field, sort, columns. */

import { fromLocalInput } from '../forms/display.js';
import { button, h } from '../ui/dom.js';

/**
 * @typedef {import('../../sdk/types.js').Field} Field
 * @typedef {import('../lists/query.js').Filter} Filter
 * @typedef {import('../lists/query.js').Sort} Sort
 * @typedef {{fields: Field[], all: string[], columns: string[], sort: Sort | null, title: string}} Choices
 */

/** @type {Record<string, [Filter['op'], string][]>} */
const OPERATORS = {
  text: [['contains', 'contains'], ['eq', 'is'], ['ne', 'is not'], ['empty', 'is empty'], ['filled', 'is filled']],
  number: [['gte', 'at least'], ['lte', 'at most'], ['eq', 'is'], ['empty', 'is empty'], ['filled', 'is filled']],
  time: [['gte', 'from'], ['lte', 'until'], ['empty', 'is empty'], ['filled', 'is filled']],
  choice: [['eq', 'is'], ['ne', 'is not'], ['empty', 'is empty'], ['filled', 'is filled']],
};

/** @type {Record<string, string>} */
const GROUP = { integer: 'number', real: 'number', decimal: 'number', date: 'time', datetime: 'time', choice: 'choice', boolean: 'choice' };

export class FilterPanel {
  /** @param {{changed: () => void}} about */
  constructor({ changed }) {
    this.changed = changed;
    /** @type {{field: string, op: Filter['op'], value: any}[]} */
    this.rows = [];
    /** @type {Choices} */
    this.choices = { fields: [], all: [], columns: [], sort: null, title: '' };
    this.list = h('div', { class: 'filter-rows' });
    this.sortBox = h('div', { class: 'sort-row' });
    this.columnBox = h('fieldset', { class: 'column-choice' });
    this.element = h('div', { class: 'filters', role: 'region', 'aria-label': 'Filter, sort and columns' },
      this.list, button('Add a filter', () => this.add(), { icon: 'plus' }), this.sortBox, this.columnBox);
  }

  /** What is to be filtered by; a filter without a value filters nothing yet. */
  get filters() {
    return this.rows.filter(({ op, value }) => op === 'empty' || op === 'filled' || (value !== '' && value !== null && value !== undefined));
  }

  /** @type {Sort | null} */
  get sort() {
    return this.choices.sort;
  }

  get columns() {
    return this.choices.columns;
  }

  /** @param {Choices} choices */
  use(choices) {
    this.choices = choices;
    this.draw();
  }

  clear() {
    this.rows = [];
    this.draw();
  }

  focus() {
    /** @type {HTMLElement | null} */ (this.element.querySelector('select, button'))?.focus();
  }

  add() {
    const [field] = this.filterable();
    if (!field) return;
    this.rows.push({ field: field.name, op: operatorsOf(field)[0][0], value: '' });
    this.draw();
    /** @type {HTMLElement | null} */ (this.list.lastElementChild?.querySelector('select') ?? null)?.focus();
  }

  filterable() {
    return this.choices.fields.filter((field) => !['json', 'reference'].includes(field.kind));
  }

  draw() {
    this.list.replaceChildren(...this.rows.map((row, at) => this.drawRow(row, at)));
    this.drawSort();
    this.drawColumns();
  }

  /**
   * @param {{field: string, op: Filter['op'], value: any}} row
   * @param {number} at
   */
  drawRow(row, at) {
    const fields = this.filterable();
    const field = fields.find((one) => one.name === row.field) ?? fields[0];
    const redraw = () => { this.draw(); this.changed(); };
    const which = select('Field', fields.map((one) => [one.name, one.label || one.name]), field.name, (name) => {
      const next = fields.find((one) => one.name === name) ?? field;
      Object.assign(row, { field: name, op: operatorsOf(next)[0][0], value: '' });
      redraw();
    });
    const how = select('Condition', operatorsOf(field), row.op, (op) => { row.op = /** @type {Filter['op']} */ (op); redraw(); });
    const needs = row.op !== 'empty' && row.op !== 'filled';
    return h('div', { class: 'filter-row' }, which, how, needs ? this.valueInput(field, row) : h('span', {}),
      button('Remove this filter', () => { this.rows.splice(at, 1); redraw(); }, { icon: 'close', kind: 'icon' }));
  }

  /**
   * @param {Field} field
   * @param {{value: any}} row
   */
  valueInput(field, row) {
    const choices = field.kind === 'boolean' ? [{ value: 'true', label: 'Yes' }, { value: '', label: 'No' }] : field.choices;
    if (field.kind === 'boolean' || field.kind === 'choice') {
      if (field.kind === 'boolean') row.value = row.value === true || row.value === '' ? true : row.value;
      const options = /** @type {[string, string][]} */ ([...(field.kind === 'choice' ? [['', 'Choose …']] : []), ...(choices ?? []).map((one) => [one.value, one.label])]);
      const value = field.kind === 'boolean' ? (row.value ? 'true' : '') : row.value;
      return select('Value', options, value, (picked) => { row.value = field.kind === 'boolean' ? picked === 'true' : picked; this.changed(); });
    }
    const type = { date: 'date', datetime: 'datetime-local', integer: 'number', real: 'number', decimal: 'number' }[/** @type {string} */ (field.kind)] ?? 'text';
    const input = h('input', { type, 'aria-label': 'Value', step: 'any' });
    input.addEventListener('input', () => {
      row.value = type === 'number' && input.value !== '' ? Number(input.value) : type === 'datetime-local' ? fromLocalInput(input.value) ?? '' : input.value;
      this.changed();
    });
    return input;
  }

  drawSort() {
    const { fields, sort } = this.choices;
    const options = /** @type {[string, string][]} */ ([['', 'as stored'], ...fields.filter((field) => field.kind !== 'json' && field.kind !== 'reference').map((field) => [field.name, field.label || field.name])]);
    const set = (/** @type {Sort | null} */ next) => {
      this.choices = { ...this.choices, sort: next };
      this.drawSort();
      this.changed();
    };
    const field = select('Sort by', options, sort?.field ?? '', (name) => set(name ? { field: name, descending: sort?.descending ?? false } : null));
    const direction = select('Order', [['', 'Ascending'], ['desc', 'Descending']], sort?.descending ? 'desc' : '', (way) => { if (sort) set({ ...sort, descending: way === 'desc' }); });
    direction.disabled = !sort;
    this.sortBox.replaceChildren(h('span', { class: 'legend' }, 'Sort by'), field, direction);
  }

  drawColumns() {
    const { fields, all, columns, title } = this.choices;
    const boxes = all.filter((name) => name !== title).map((name) => {
      const box = h('input', { type: 'checkbox', checked: columns.includes(name) });
      box.addEventListener('input', () => {
        const next = all.filter((one) => one === title || (one === name ? box.checked : this.choices.columns.includes(one)));
        this.choices = { ...this.choices, columns: next };
        this.changed();
      });
      return h('label', { class: 'check' }, box, h('span', {}, fields.find((field) => field.name === name)?.label || name));
    });
    this.columnBox.replaceChildren(h('legend', {}, 'Show'), ...boxes);
  }
}

/** @param {Field} field */
function operatorsOf(field) {
  const all = OPERATORS[GROUP[field.kind] ?? 'text'];
  return field.kind === 'boolean' ? all.slice(0, 1) : all;
}

/**
 * @param {string} label
 * @param {[string, string][]} options
 * @param {string} value
 * @param {(value: string) => void} onchange
 */
function select(label, options, value, onchange) {
  const made = h('select', { 'aria-label': label }, ...options.map(([key, text]) => h('option', { value: key }, text)));
  made.value = value;
  made.addEventListener('change', () => onchange(made.value));
  return made;
}
