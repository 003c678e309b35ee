/** A list that draws only visible rows. Rows load in pages; missing ones show a placeholder of the same height. */

import { scrollTo, windowOf } from '../lists/window.js';
import { h } from './dom.js';
import { words } from '../words/index.js';

/**
 * @typedef {Record<string, any> & {id: string}} Row
 * @typedef {{load: (offset: number, limit: number) => Promise<Row[]>,
 *   draw: (row: Row, element: HTMLElement) => void, open: (row: Row) => void, rowHeight: number, label: string}} About
 * @typedef {{element: HTMLElement, row: Row | undefined, paint: number}} Drawn
 */

const PAGE = 100;

export class VirtualList {
  /** @param {About} about */
  constructor(about) {
    this.about = about;
    this.rows = 0;
    this.current = 0;
    this.selected = '';
    this.generation = 0;
    this.paint = 0;
    /** @type {Map<number, Row[] | Promise<void>>} pages by number */
    this.pages = new Map();
    /** @type {Map<number, Row[]>} pages from before the last reset, shown until new ones arrive */
    this.stale = new Map();
    /** @type {Map<number, Drawn>} drawn rows by index */
    this.drawn = new Map();
    this.space = h('div', { class: 'space', role: 'presentation' });
    this.element = h('div', { class: 'virtual', role: 'listbox', tabIndex: 0, 'aria-label': about.label }, this.space);
    this.element.addEventListener('scroll', () => this.schedule(), { passive: true });
    this.element.addEventListener('keydown', (event) => this.onKey(event));
    this.element.addEventListener('click', (event) => this.onClick(event));
    this.scheduled = false;
    this.observer = new ResizeObserver(() => this.schedule());
    this.observer.observe(this.element);
  }

  /**
   * Show a list of this many rows. Loaded pages are fetched again and stay visible until the new ones arrive.
   * @param {number} rows
   * @param {{top?: boolean}} [how] `top`: this is another list, so scroll to its first row
   */
  reset(rows, { top = false } = {}) {
    this.generation += 1;
    this.rows = rows;
    for (const [number, page] of this.pages) if (Array.isArray(page)) this.stale.set(number, page);
    if (top) this.stale.clear();
    this.pages = new Map();
    if (top) {
      this.element.scrollTop = 0;
      this.current = 0;
    }
    this.schedule();
  }

  /** Redraw the rows, because something they show besides the record changed. */
  repaint() {
    this.paint += 1;
    this.schedule();
  }

  /**
   * Change the row height. The top row stays at the top, or the open row becomes visible.
   * @param {number} rowHeight px
   */
  resize(rowHeight) {
    const { about } = this;
    if (rowHeight === about.rowHeight) return;
    const top = Math.floor(this.element.scrollTop / about.rowHeight);
    about.rowHeight = rowHeight;
    this.paint += 1;
    this.schedule();
    requestAnimationFrame(() => {
      const { clientHeight } = this.element;
      if (!clientHeight) return;
      this.draw();
      this.element.scrollTop = scrollTo({
        rows: this.rows,
        rowHeight,
        scrollTop: top * rowHeight,
        viewport: clientHeight,
        row: this.current,
      });
    });
  }

  /** @param {string} id the record that is open next to the list */
  select(id) {
    this.selected = id;
    this.schedule();
  }

  schedule() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.draw();
    });
  }

  draw() {
    const { scrollTop, clientHeight } = this.element;
    if (!clientHeight) return;
    const window = windowOf({ rows: this.rows, rowHeight: this.about.rowHeight, scrollTop, viewport: clientHeight });
    this.space.style.height = `${window.height}px`;
    const last = window.first + window.count;
    for (const [index, { element }] of this.drawn) {
      if (index >= window.first && index < last) continue;
      element.remove();
      this.drawn.delete(index);
    }
    for (let index = window.first; index < last; index += 1)
      this.drawRow(index, window.top + (index - window.first) * this.about.rowHeight);
    if (window.count) this.loadPages(Math.floor(window.first / PAGE), Math.floor((last - 1) / PAGE));
  }

  /**
   * @param {number} index
   * @param {number} y
   */
  drawRow(index, y) {
    let drawn = this.drawn.get(index);
    if (!drawn) {
      const made = h('div', { class: 'item', role: 'option', id: `row-${index}`, 'aria-posinset': index + 1 });
      drawn = { element: made, row: undefined, paint: -1 };
      this.drawn.set(index, drawn);
      this.space.append(made);
    }
    const { element } = drawn;
    const row = this.rowAt(index);
    element.style.transform = `translateY(${y}px)`;
    element.setAttribute('aria-setsize', String(this.rows));
    element.setAttribute('aria-selected', String(row !== undefined && row.id === this.selected));
    element.classList.toggle('current', index === this.current);
    if (row === drawn.row && drawn.paint === this.paint) return;
    drawn.row = row;
    drawn.paint = this.paint;
    element.classList.toggle('waiting', !row);
    if (row) this.about.draw(row, element);
    else element.setAttribute('aria-label', words.list.loading);
  }

  /**
   * @param {number} index
   * @returns {Row | undefined}
   */
  rowAt(index) {
    const number = Math.floor(index / PAGE);
    const page = this.pages.get(number);
    const rows = Array.isArray(page) ? page : this.stale.get(number);
    return rows?.[index % PAGE];
  }

  /**
   * @param {number} first
   * @param {number} last
   */
  loadPages(first, last) {
    for (let number = first; number <= last; number += 1) {
      if (this.pages.has(number)) continue;
      const { generation } = this;
      this.pages.set(
        number,
        this.about.load(number * PAGE, PAGE).then(
          (rows) => {
            if (generation !== this.generation) return;
            this.pages.set(number, rows);
            this.stale.delete(number);
            this.schedule();
          },
          () => {
            if (generation === this.generation) this.pages.delete(number);
          },
        ),
      );
    }
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.about.rowHeight) - 1);
    /** @type {Record<string, number>} */
    const moves = {
      ArrowDown: this.current + 1,
      ArrowUp: this.current - 1,
      PageDown: this.current + page,
      PageUp: this.current - page,
      Home: 0,
      End: this.rows - 1,
    };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves) {
      event.preventDefault();
      this.moveTo(Math.min(this.rows - 1, Math.max(0, moves[event.key])));
    } else if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      const row = this.rowAt(this.current);
      if (row) this.about.open(row);
    }
  }

  /** @param {number} index */
  moveTo(index) {
    this.current = index;
    const { scrollTop, clientHeight } = this.element;
    this.element.scrollTop = scrollTo({
      rows: this.rows,
      rowHeight: this.about.rowHeight,
      scrollTop,
      viewport: clientHeight,
      row: index,
    });
    this.draw();
    this.element.setAttribute('aria-activedescendant', `row-${index}`);
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    const item = event.target instanceof Element ? event.target.closest('.item') : null;
    const found = [...this.drawn].find(([, { element }]) => element === item);
    const row = found ? this.rowAt(found[0]) : undefined;
    if (!found || !row) return;
    this.current = found[0];
    this.about.open(row);
  }
}
