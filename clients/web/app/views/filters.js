/** The panel of a list: filters, sort, and columns. */

import { filterOf, inputType, isSet, needsValue, operatorsOf, shownValue, valueOf } from '../lists/filters.js';
import { button, h } from '../ui/dom.js';
import { Kept, arrange } from '../ui/kept.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../../sdk/index.js').Field} Field
 * @typedef {import('../lists/filters.js').FilterRow} FilterRow
 * @typedef {import('../lists/query.js').Sort} Sort
 * @typedef {{fields: Field[], all: string[], columns: string[], sort: Sort | null, title: string}} Choices
 */

/** Redrawn on every change of the list. Controls in use keep their elements. */
export class FilterPanel {
  #kept = new Kept();

  /** @param {{changed: () => void}} about */
  constructor({ changed }) {
    this.changed = changed;
    /** @type {FilterRow[]} */
    this.rows = [];
    /** @type {Choices} */
    this.choices = { fields: [], all: [], columns: [], sort: null, title: '' };
    this.list = h('div', { class: 'filter-rows' });
    this.sortBox = h('div', { class: 'sort-row' }, h('span', { class: 'legend' }, words.filters.sortBy));
    this.columnBox = h('fieldset', { class: 'column-choice' }, h('legend', {}, words.filters.columns));
    this.adder = button(words.filters.add, () => this.add(), { icon: 'plus' });
    this.element = h(
      'div',
      { class: 'filters', role: 'region', 'aria-label': words.filters.panel },
      this.list,
      this.adder,
      this.sortBox,
      this.columnBox,
    );
  }

  /** The active filters; one without a value is not active yet. */
  get filters() {
    return this.rows.filter(isSet).map(({ field, op, value }) => ({ field, op, value }));
  }

  /** @type {Sort | null} */
  get sort() {
    return this.choices.sort;
  }

  get columns() {
    return this.choices.columns;
  }

  /**
   * Update the choices. Filters on removed fields go, because they would be invisible.
   * @param {Choices} choices
   */
  use(choices) {
    this.choices = choices;
    const names = new Set(this.filterable().map((field) => field.name));
    this.rows = this.rows.filter((row) => names.has(row.field));
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
    const row = filterOf(field);
    this.rows.push(row);
    this.draw();
    /** @type {HTMLElement | null} */ (this.list.lastElementChild?.querySelector('select') ?? null)?.focus();
    if (isSet(row)) this.changed();
  }

  /** @param {FilterRow} row */
  remove(row) {
    const at = this.rows.indexOf(row);
    this.rows.splice(at, 1);
    this.draw();
    const next = this.list.children[Math.min(at, this.rows.length - 1)];
    const focused = next?.querySelector('button') ?? this.adder;
    focused.focus();
    this.changed();
  }

  filterable() {
    return this.choices.fields.filter((field) => !['json', 'reference'].includes(field.kind));
  }

  draw() {
    this.#kept.draw(() => {
      arrange(
        this.list,
        this.rows.map((row) => this.drawRow(row)),
      );
      this.drawSort();
      this.drawColumns();
    });
  }

  /** @param {FilterRow} row */
  drawRow(row) {
    const fields = this.filterable();
    const field = fields.find((one) => one.name === row.field) ?? fields[0];
    const redraw = () => {
      this.draw();
      this.changed();
    };
    const which = this.select(`${row.key} field`, words.filters.field, namesOf(fields), row.field, (name) => {
      const next = this.filterable().find((one) => one.name === name);
      if (next) Object.assign(row, filterOf(next, row.key));
      redraw();
    });
    const how = this.select(`${row.key} condition`, words.filters.condition, operatorsOf(field), row.op, (op) => {
      row.op = /** @type {FilterRow['op']} */ (op);
      redraw();
    });
    const value = needsValue(row.op)
      ? this.valueInput(field, row)
      : this.#kept.take(`${row.key} no value`, '', () => h('span', {}));
    const remove = this.#kept.take(`${row.key} remove`, '', () =>
      button(words.filters.remove, () => this.remove(row), { icon: 'close', kind: 'icon' }),
    );
    const element = this.#kept.take(`${row.key}`, '', () => h('div', { class: 'filter-row' }));
    arrange(element, [which, how, value, remove]);
    return element;
  }

  /**
   * @param {Field} field
   * @param {FilterRow} row
   */
  valueInput(field, row) {
    const set = (/** @type {string} */ text) => {
      row.value = valueOf(field, text);
      this.changed();
    };
    if (field.kind === 'boolean' || field.kind === 'choice') {
      /** @type {[string, string][]} */
      const options =
        field.kind === 'boolean'
          ? [
              ['true', words.values.yes],
              ['', words.values.no],
            ]
          : [
              ['', words.filters.choose],
              ...(field.choices ?? []).map((one) => /** @type {[string, string]} */ ([one.value, one.label])),
            ];
      return this.select(
        `${row.key} value`,
        words.filters.value,
        options,
        shownValue(field, row.value),
        set,
        field.name,
      );
    }
    const type = inputType(field);
    const input = this.#kept.take(`${row.key} value`, [field.name, field.kind], () => {
      const made = h('input', {
        type,
        'aria-label': words.filters.value,
        ...(type === 'number' ? { step: 'any' } : {}),
      });
      made.addEventListener('input', () => set(made.value));
      return made;
    });
    // What is being typed stays as it is typed: `1.` and `1.0` are one number.
    if (valueOf(field, input.value) !== row.value) input.value = shownValue(field, row.value);
    return input;
  }

  drawSort() {
    const { fields, sort } = this.choices;
    const set = (/** @type {Sort | null} */ next) => {
      this.choices = { ...this.choices, sort: next };
      this.draw();
      this.changed();
    };
    const sortable = fields.filter((field) => field.kind !== 'json' && field.kind !== 'reference');
    const field = this.select(
      'sort',
      words.filters.sortBy,
      [['', words.filters.defaultOrder], ...namesOf(sortable)],
      sort?.field ?? '',
      (name) => set(name ? { field: name, descending: this.sort?.descending ?? false } : null),
    );
    const direction = this.select(
      'order',
      words.filters.order,
      [
        ['', words.filters.ascending],
        ['desc', words.filters.descending],
      ],
      sort?.descending ? 'desc' : '',
      (way) => {
        if (this.sort) set({ ...this.sort, descending: way === 'desc' });
      },
    );
    direction.disabled = !sort;
    arrange(this.sortBox, [this.sortBox.children[0], field, direction]);
  }

  drawColumns() {
    const { fields, all, columns, title } = this.choices;
    const boxes = all
      .filter((name) => name !== title)
      .map((name) => {
        const label = fields.find((field) => field.name === name)?.label || name;
        const box = this.#kept.take(`column ${name}`, '', () => {
          const made = h('input', { type: 'checkbox' });
          made.addEventListener('input', () => this.showColumn(name, made.checked));
          return made;
        });
        box.checked = columns.includes(name);
        const element = this.#kept.take(`column label ${name}`, label, () =>
          h('label', { class: 'check' }, box, h('span', {}, label)),
        );
        return element;
      });
    arrange(this.columnBox, [this.columnBox.children[0], ...boxes]);
  }

  /**
   * @param {string} name
   * @param {boolean} shown
   */
  showColumn(name, shown) {
    const { all, columns, title } = this.choices;
    this.choices = {
      ...this.choices,
      columns: all.filter((one) => one === title || (one === name ? shown : columns.includes(one))),
    };
    this.changed();
  }

  /**
   * @param {string} key
   * @param {string} label
   * @param {[string, string][]} options
   * @param {string} value
   * @param {(value: string) => void} onchange
   * @param {string} [about] what else the element depends on
   */
  select(key, label, options, value, onchange, about = '') {
    const element = this.#kept.take(key, [options, about], () => {
      const made = h(
        'select',
        { 'aria-label': label },
        ...options.map(([name, text]) => h('option', { value: name }, text)),
      );
      made.addEventListener('change', () => onchange(made.value));
      return made;
    });
    element.value = value;
    return element;
  }
}

/**
 * @param {Field[]} fields
 * @returns {[string, string][]}
 */
const namesOf = (fields) => fields.map((field) => [field.name, field.label || field.name]);
