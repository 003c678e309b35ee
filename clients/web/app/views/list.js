/** The records of one type: search, status chips, filters, sort, and columns. Only visible rows are drawn. */

import { display } from '../forms/display.js';
import { headFields } from '../forms/plan.js';
import { inSentence, titleField } from '../forms/titles.js';
import { choose, columnsOf, gridOf, sortOf, tableColumns } from '../lists/columns.js';
import { LiveList } from '../lists/live.js';
import { TITLE, listColumns } from '../lists/query.js';
import { address } from '../router.js';
import { button, h, icon, uid } from '../ui/dom.js';
import { Kept, arrange } from '../ui/kept.js';
import { VirtualList } from '../ui/virtual-list.js';
import { back } from './back.js';
import { FilterPanel } from './filters.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../app.js').App} App
 * @typedef {import('../../sdk/index.js').ObjectType} ObjectType
 * @typedef {import('../../sdk/index.js').Field} Field
 * @typedef {import('../../sdk/index.js').RecordState} RecordState
 * @typedef {import('../lists/query.js').ListState} ListState
 */

// Two lines per row next to a record, one line when the list fills the page.
const ROW_HEIGHT = 64;
const TABLE_ROW_HEIGHT = 48;
const TABLE_EDGES = 132; // px next to the columns: padding, and the badge of a record’s sync state
const TYPING_MS = 120;

export class ListView {
  heading = h('h1', {});
  count = h('span', { class: 'count', role: 'status' });
  search = h('input', { type: 'search', id: uid('search'), placeholder: words.list.search, autocomplete: 'off' });
  more = button(words.list.panel, () => this.togglePanel(), { icon: 'filter', kind: 'icon' });
  chips = h('div', { class: 'chips', role: 'group', 'aria-label': words.list.status });
  panel = new FilterPanel({ changed: () => this.onPanel() });
  nothing = h('div', { class: 'empty', hidden: true });
  tableHead = h('div', { class: 'table-head', role: 'group', 'aria-label': words.list.columns });
  /** Chips and column heads keep their elements while they are pressed. */
  kept = { chips: new Kept(), head: new Kept() };
  /** @type {string[]} */
  columns = [];
  wide = false;
  /** @type {import('../lists/columns.js').Column[]} */
  fitted = [];
  drawnHead = '';
  drawnNothing = 'null';
  resized = new ResizeObserver(() => this.fit());
  status = '';
  /** @type {Record<string, RecordState>} */
  states = {};
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  typing = undefined;

  /**
   * @param {App} app
   * @param {string} table
   */
  constructor(app, table) {
    this.app = app;
    this.table = table;
    this.type = /** @type {ObjectType} */ (app.types.get(table));
    /** @type {ListState} */
    this.state = { search: '', filters: [], sort: sortOf(this.type) };
    this.virtual = new VirtualList({
      rowHeight: ROW_HEIGHT,
      label: this.type.label_plural,
      load: (offset, limit) => this.live.rows(offset, limit),
      draw: (row, element) => this.drawRow(row, element),
      open: (row) => {
        location.hash = address({ page: 'record', table, id: row.id });
      },
    });
    this.live = new LiveList({
      open: (options, listener) => app.moat.list(options, listener),
      changed: (how) => this.onList(how),
      progress: (share) => this.onProgress(share),
      failed: (error) => this.onFailed(error),
    });
    this.create = h(
      'a',
      { class: 'button primary new', href: address({ page: 'new', table }) },
      icon('plus'),
      h('span', {}, words.list.new),
    );
    this.search.addEventListener('input', () => this.onSearch());
    this.search.addEventListener('keydown', (event) => this.onSearchKey(event));
    this.more.setAttribute('aria-expanded', 'false');
    this.panel.element.hidden = true;
    this.element = h(
      'div',
      { class: 'list-view' },
      h('div', { class: 'pane-head' }, back(words.list.back, { page: 'home' }), this.heading, this.count, this.create),
      h('div', { class: 'search' }, h('div', { class: 'search-box' }, icon('search'), this.search), this.more),
      this.chips,
      this.panel.element,
      this.tableHead,
      this.virtual.element,
      this.nothing,
    );
    this.drawHead();
    this.resized.observe(this.element);
    this.stops = [
      app.on('definitions', () => this.onDefinitions()),
      app.on('rights', () => {
        this.drawHead();
        this.show();
      }),
      app.on('overlays', () => void this.readStates()),
      app.on('drafts', () => this.virtual.repaint()),
    ];
    this.show();
    void this.readStates();
  }

  destroy() {
    this.live.stop();
    clearTimeout(this.typing);
    this.virtual.observer.disconnect();
    this.resized.disconnect();
    for (const stop of this.stops) stop();
  }

  focus() {
    this.virtual.element.focus();
  }

  /** @param {string} id */
  select(id) {
    this.virtual.select(id);
  }

  /** @param {boolean} wide whether the list fills the page and becomes a table */
  widen(wide) {
    if (wide === this.wide) return;
    this.wide = wide;
    this.element.classList.toggle('table', wide);
    this.virtual.resize(wide ? TABLE_ROW_HEIGHT : ROW_HEIGHT);
    this.fit();
  }

  /** Choose the columns that fit, and draw their heads. */
  fit() {
    if (!this.wide) return;
    this.fitted = tableColumns(this.type, this.columns, this.element.clientWidth - TABLE_EDGES);
    const { sort } = this.state;
    const key = JSON.stringify([this.fitted, sort]);
    if (key === this.drawnHead) return;
    this.drawnHead = key;
    this.element.style.setProperty('--columns', gridOf(this.fitted));
    this.kept.head.draw(() =>
      arrange(
        this.tableHead,
        this.fitted.map((column) => this.headCell(column)),
      ),
    );
    this.virtual.repaint();
  }

  /** @param {import('../lists/columns.js').Column} column */
  headCell({ name, label, number, sortable }) {
    const { sort } = this.state;
    const sorted = sort?.field === name;
    const cell = this.kept.head.take(name, [label, sortable], () =>
      sortable
        ? h(
            'button',
            { type: 'button', onclick: () => this.sortBy(name) },
            h('span', {}, label),
            h('span', { 'aria-hidden': 'true' }),
          )
        : h('span', {}, label),
    );
    cell.className = `head-cell${number ? ' number' : ''}${sorted ? ' sorted' : ''}`;
    if (!sortable) return cell;
    cell.setAttribute('aria-pressed', String(sorted));
    cell.setAttribute(
      'aria-label',
      sorted ? words.list.sortedBy(label, sort?.descending === true) : words.list.sortBy(label),
    );
    cell.children[1].textContent = sorted ? (sort?.descending ? '↓' : '↑') : '';
    return cell;
  }

  /** @param {string} field */
  sortBy(field) {
    const { sort } = this.state;
    this.state = { ...this.state, sort: { field, descending: sort?.field === field && !sort.descending } };
    choose(this.table, { sort: this.state.sort });
    this.drawHead();
    this.show();
  }

  /** Query the list for the current search, filters, and sort. */
  show() {
    const { app, table, state } = this;
    this.columns = columnsOf(this.type, (field) => app.rights(table).canRead(field));
    const filters = this.status
      ? [...state.filters, { field: 'status', op: /** @type {const} */ ('eq'), value: this.status }]
      : state.filters;
    this.live.show(this.type, { ...state, filters }, { columns: this.columns, types: app.types });
    this.fit();
  }

  drawHead() {
    const { type, app } = this;
    this.heading.textContent = type.label_plural || type.label;
    this.create.hidden = !app.canCreate(this.table);
    this.search.setAttribute('aria-label', words.list.searchFor(type.label_plural || type.label));
    this.create.setAttribute('aria-label', words.list.newOf(type.label));
    this.drawChips();
    const readable = (/** @type {string} */ field) => app.rights(this.table).canRead(field);
    const fields = [...headFields(type), ...type.fields].filter((field) => readable(field.name));
    this.panel.use({
      fields,
      all: listColumns(type, readable, Infinity),
      columns: columnsOf(type, readable),
      sort: this.state.sort,
      title: titleField(type) ?? '',
    });
    this.filtered();
  }

  drawChips() {
    const { statuses } = this.type;
    const choices = statuses.length ? [{ value: '', label: words.list.all, colour: undefined }, ...statuses] : [];
    this.chips.hidden = !choices.length;
    this.kept.chips.draw(() =>
      arrange(
        this.chips,
        choices.map(({ value, label, colour }) => {
          const chip = this.kept.chips.take(value, [label, colour], () =>
            h(
              'button',
              { type: 'button', class: 'chip', onclick: () => this.pickStatus(value) },
              value ? dot(colour) : null,
              label,
            ),
          );
          chip.setAttribute('aria-pressed', String(value === this.status));
          return chip;
        }),
      ),
    );
  }

  /** Apply the panel’s filters, and mark its button if there are any. */
  filtered() {
    this.state = { ...this.state, filters: this.panel.filters };
    this.more.classList.toggle('on', this.state.filters.length > 0);
  }

  /** @param {KeyboardEvent} event */
  onSearchKey(event) {
    if (event.key !== 'ArrowDown' && event.key !== 'Enter') return;
    event.preventDefault();
    this.focus();
    this.virtual.moveTo(0);
  }

  /** @param {string} value */
  pickStatus(value) {
    this.status = value;
    this.drawHead();
    this.show();
  }

  togglePanel() {
    this.panel.element.hidden = !this.panel.element.hidden;
    this.more.setAttribute('aria-expanded', String(!this.panel.element.hidden));
    if (!this.panel.element.hidden) this.panel.focus();
  }

  onPanel() {
    const { sort, columns } = this.panel;
    this.state = { ...this.state, sort };
    choose(this.table, { sort, columns });
    this.filtered();
    this.show();
  }

  onSearch() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => {
      this.state = { ...this.state, search: this.search.value };
      this.show();
    }, TYPING_MS);
  }

  onDefinitions() {
    const type = this.app.types.get(this.table);
    if (!type || JSON.stringify(type) === JSON.stringify(this.type)) return;
    this.type = type;
    this.drawHead();
    this.show();
  }

  async readStates() {
    this.states = await this.app.moat.states(this.table).catch(() => ({}));
    this.virtual.repaint();
  }

  /** @param {number | null} share of the search or sort that is done */
  onProgress(share) {
    this.virtual.element.setAttribute('aria-busy', String(share !== null));
    if (share !== null) this.count.textContent = words.list.progress(share);
  }

  /** @param {{count: number, top: boolean}} how */
  onList({ count, top }) {
    this.count.textContent = new Intl.NumberFormat().format(count);
    this.count.setAttribute('aria-label', words.list.records(count));
    this.virtual.reset(count, { top });
    const narrowed = this.state.search || this.state.filters.length || this.status;
    const many = inSentence(this.type.label_plural) || words.list.someRecords;
    if (count) this.showNothing(null);
    else if (narrowed)
      this.showNothing({
        icon: 'search',
        title: words.list.noMatches,
        action: [words.list.clearFilters, () => this.clear()],
      });
    else
      this.showNothing({
        icon: this.type.icon,
        title: words.list.nothing(many),
        text: this.create.hidden ? words.list.nothingText : words.list.nothingTextNew,
      });
  }

  /** @param {{message: string}} error */
  onFailed({ message }) {
    this.count.textContent = '';
    this.count.removeAttribute('aria-label');
    this.virtual.reset(0, { top: false });
    this.showNothing({
      icon: 'warning',
      title: words.list.failed,
      text: message,
      action: [words.list.tryAgain, () => this.show()],
    });
  }

  /**
   * Show why there are no rows; null when there are. An unchanged reason stays, with the focus on its button.
   * @param {{icon: string, title: string, text?: string, action?: [string, () => void]} | null} about
   */
  showNothing(about) {
    const look = JSON.stringify(about),
      focused = this.nothing.contains(document.activeElement);
    this.nothing.hidden = !about;
    this.virtual.element.hidden = Boolean(about);
    if (look === this.drawnNothing) return;
    this.drawnNothing = look;
    this.nothing.replaceChildren(
      ...(about
        ? [
            icon(about.icon),
            h('h2', {}, about.title),
            ...(about.text ? [h('p', {}, about.text)] : []),
            ...(about.action ? [button(...about.action)] : []),
          ]
        : []),
    );
    if (focused && about) this.nothing.querySelector('button')?.focus();
    else if (focused) this.focus();
  }

  clear() {
    this.search.value = '';
    this.status = '';
    this.state = { ...this.state, search: '' };
    this.panel.clear();
    this.drawHead();
    this.show();
  }

  /**
   * @param {Record<string, any> & {id: string}} row
   * @param {HTMLElement} element
   */
  drawRow(row, element) {
    const { type, app } = this;
    const fields = new Map([...headFields(type), ...type.fields].map((field) => [field.name, field]));
    const unsaved = app.drafts.get(`${this.table}/${row.id}`)?.dirty;
    const state = this.states[row.id] ?? '';
    const mark = unsaved ? words.list.unsaved : words.list.states[state];
    const badge = mark ? h('span', { class: `badge ${unsaved ? 'unsaved' : state}` }, mark) : null;
    const title = h('span', { class: 'title' }, app.titleOf(type, row));
    element.removeAttribute('aria-label');
    element.dataset.id = row.id;
    if (this.wide) {
      element.replaceChildren(
        title,
        ...this.fitted.slice(1).map(({ name, number }) => {
          const content = name === 'status' ? this.statusOf(row) : [textOf(fields.get(name), row)];
          return h('span', { class: number ? 'cell number' : 'cell' }, ...content);
        }),
        h('span', { class: 'marks' }, badge),
      );
      return;
    }
    const sub = this.columns
      .filter((name) => name !== titleField(type) && name !== 'status')
      .map((name) => textOf(fields.get(name), row))
      .filter(Boolean)
      .join(' · ');
    const status = this.columns.includes('status') ? this.statusOf(row) : [];
    element.replaceChildren(
      title,
      h('span', { class: 'marks' }, badge),
      h('span', { class: 'sub' }, sub || row.id),
      h('span', { class: 'status' }, ...status),
    );
  }

  /** @param {Record<string, any>} row */
  statusOf(row) {
    const status = this.type.statuses.find((one) => one.value === row.status);
    return status ? [dot(status.colour), status.label] : [];
  }
}

/**
 * Create a dot in a colour that an administrator chose.
 * @param {string | undefined} colour
 */
function dot(colour) {
  const element = h('span', { class: 'dot' });
  if (colour) element.style.backgroundColor = colour;
  return element;
}

/**
 * @param {Field | undefined} field
 * @param {Record<string, any>} row values as SQLite stores them
 */
function textOf(field, row) {
  if (!field) return '';
  const value = row[field.name];
  if (field.kind === 'reference') return String(row[field.name + TITLE] ?? value ?? '');
  if (field.kind === 'boolean') return value ? field.label : '';
  if (field.kind === 'decimal' && value !== null && value !== undefined)
    return display(field, Number(value).toFixed(field.decimal_places ?? 2));
  return display(field, value);
}
