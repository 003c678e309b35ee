/** The records of one type: search, quick filter by status, more filters, sort, columns; only the rows on the screen are drawn. */

import { display } from '../forms/display.js';
import { headFields } from '../forms/plan.js';
import { titleField } from '../forms/titles.js';
import { choose, columnsOf, sortOf } from '../lists/columns.js';
import { LiveList } from '../lists/live.js';
import { TITLE, listColumns } from '../lists/query.js';
import { address } from '../router.js';
import { button, h, icon, uid } from '../ui/dom.js';
import { VirtualList } from '../ui/virtual-list.js';
import { back } from './back.js';
import { FilterPanel } from './filters.js';

/**
 * @typedef {import('../app.js').App} App
 * @typedef {import('../../sdk/types.js').ObjectType} ObjectType
 * @typedef {import('../../sdk/types.js').Field} Field
 * @typedef {import('../../sdk/types.js').RecordState} RecordState
 * @typedef {import('../lists/query.js').ListState} ListState
 */

const ROW_HEIGHT = 68;
const TYPING_MS = 120;
/** @type {Record<string, string>} */
const STATES = { pending: 'Not sent', conflict: 'Conflict', rejected: 'Refused', parked: 'Parked' };

export class ListView {
  heading = h('h1', {});
  count = h('span', { class: 'count', role: 'status' });
  search = h('input', { type: 'search', id: uid('search'), placeholder: 'Search', autocomplete: 'off' });
  more = button('Filter, sort and columns', () => this.togglePanel(), { icon: 'filter', kind: 'icon' });
  chips = h('div', { class: 'chips', role: 'group', 'aria-label': 'Status' });
  panel = new FilterPanel({ changed: () => this.onPanel() });
  nothing = h('div', { class: 'empty', hidden: true });
  /** @type {string[]} */
  columns = [];
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
      rowHeight: ROW_HEIGHT, label: this.type.label_plural, load: (offset, limit) => this.live.rows(offset, limit), draw: (row, element) => this.drawRow(row, element),
      open: (row) => { location.hash = address({ page: 'record', table, id: row.id }); },
    });
    this.live = new LiveList({ open: (options, listener) => app.moat.list(options, listener), changed: (how) => this.onList(how), progress: (share) => this.onProgress(share), failed: () => this.onList({ count: 0, top: false }) });
    this.create = h('a', { class: 'button primary new', href: address({ page: 'new', table }) }, icon('plus'), h('span', {}, 'New'));
    this.search.addEventListener('input', () => this.onSearch());
    this.search.addEventListener('keydown', (event) => this.onSearchKey(event));
    this.more.setAttribute('aria-expanded', 'false');
    this.panel.element.hidden = true;
    this.element = h('div', { class: 'list-view' },
      h('div', { class: 'pane-head' }, back('All object types', { page: 'home' }), this.heading, this.count, this.create),
      h('div', { class: 'search' }, h('div', { class: 'search-box' }, icon('search'), this.search), this.more),
      this.chips, this.panel.element, this.virtual.element, this.nothing);
    this.drawHead();
    this.stops = [app.on('definitions', () => this.onDefinitions()), app.on('overlays', () => void this.readStates()), app.on('drafts', () => this.virtual.repaint())];
    this.show();
    void this.readStates();
  }

  destroy() {
    this.live.stop();
    clearTimeout(this.typing);
    this.virtual.observer.disconnect();
    for (const stop of this.stops) stop();
  }

  focus() {
    this.virtual.element.focus();
  }

  /** @param {string} id */
  select(id) {
    this.virtual.select(id);
  }

  /** The list as the person asked for it. */
  show() {
    const { app, table, state } = this;
    this.columns = columnsOf(this.type, app.rights(table).readable);
    const filters = this.status ? [...state.filters, { field: 'status', op: /** @type {const} */ ('eq'), value: this.status }] : state.filters;
    this.live.show(this.type, { ...state, filters }, { columns: this.columns, types: app.types });
  }

  drawHead() {
    const { type, app } = this;
    this.heading.textContent = type.label_plural || type.label;
    this.create.hidden = !app.rights(this.table).insert;
    this.search.setAttribute('aria-label', `Search ${type.label_plural || type.label}`);
    this.create.setAttribute('aria-label', `New ${type.label}`);
    const choices = type.statuses.length ? [{ value: '', label: 'All' }, ...type.statuses] : [];
    this.chips.hidden = !choices.length;
    this.chips.replaceChildren(...choices.map((choice) => h('button', {
      type: 'button', class: 'chip', 'aria-pressed': String(choice.value === this.status), onclick: () => this.pickStatus(choice.value),
    }, choice.value ? dot(/** @type {any} */ (choice).colour) : null, choice.label)));
    const readable = app.rights(this.table).readable;
    const fields = [...headFields(type), ...type.fields].filter((field) => readable(field.name));
    this.panel.use({ fields, all: listColumns(type, readable, Infinity), columns: columnsOf(type, readable), sort: this.state.sort, title: titleField(type) ?? '' });
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
    const { filters, sort, columns } = this.panel;
    this.state = { ...this.state, filters, sort };
    choose(this.table, { sort, columns });
    this.more.classList.toggle('on', filters.length > 0);
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

  /** @param {number | null} share of a search or a sort that is done */
  onProgress(share) {
    this.virtual.element.setAttribute('aria-busy', String(share !== null));
    if (share !== null) this.count.textContent = `${Math.round(share * 100)} %`;
  }

  /** @param {{count: number, top: boolean}} how */
  onList({ count, top }) {
    this.count.textContent = new Intl.NumberFormat().format(count);
    this.count.setAttribute('aria-label', `${count} records`);
    this.virtual.reset(count, { top });
    this.nothing.hidden = count > 0;
    this.virtual.element.hidden = count === 0;
    if (count) return;
    const narrowed = this.state.search || this.state.filters.length || this.status;
    this.nothing.replaceChildren(h('p', {}, narrowed ? 'Nothing matches.' : `No ${this.type.label_plural.toLowerCase() || 'records'} yet.`),
      narrowed ? button('Show all', () => this.clear()) : '');
  }

  clear() {
    this.search.value = '';
    this.status = '';
    this.state = { ...this.state, search: '', filters: [] };
    this.more.classList.remove('on');
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
    const title = app.titleOf(type, row);
    const sub = this.columns.filter((name) => name !== titleField(type) && name !== 'status')
      .map((name) => cell(/** @type {Field | undefined} */ (fields.get(name)), row)).filter(Boolean).join(' · ');
    const status = this.columns.includes('status') ? type.statuses.find((one) => one.value === row.status) : undefined;
    const state = app.drafts.get(`${this.table}/${row.id}`)?.dirty ? 'Unsaved' : STATES[this.states[row.id] ?? ''];
    element.removeAttribute('aria-label');
    element.dataset.id = row.id;
    element.replaceChildren(h('span', { class: 'title' }, title), h('span', { class: 'sub' }, sub || row.id), h('span', { class: 'marks' },
      state ? h('span', { class: `badge ${state === 'Unsaved' ? 'unsaved' : this.states[row.id]}` }, state) : null,
      status ? h('span', { class: 'badge' }, dot(status.colour), status.label) : null));
  }
}

/**
 * A coloured dot; the colour is an administrator's.
 * @param {string | undefined} colour
 */
function dot(colour) {
  const element = h('span', { class: 'dot' });
  if (colour) element.style.background = colour;
  return element;
}

/**
 * @param {Field | undefined} field
 * @param {Record<string, any>} row as SQLite stores it
 */
function cell(field, row) {
  if (!field) return '';
  const value = row[field.name];
  if (field.kind === 'reference') return String(row[field.name + TITLE] ?? value ?? '');
  if (field.kind === 'boolean') return value ? field.label : '';
  if (field.kind === 'decimal' && value !== null && value !== undefined) return display(field, Number(value).toFixed(field.decimal_places ?? 2));
  return display(field, value);
}
