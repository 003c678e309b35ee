/** The frame of the app: status bar, alerts, object types, list, and detail. Phones show one pane at a time. */

import { address, parse } from '../router.js';
import { h, icon } from '../ui/dom.js';
import { closeSheets, sheet } from '../ui/dialog.js';
import { Alerts } from './alerts.js';
import { DetailView } from './detail.js';
import { DiagnosticsView } from './diagnostics.js';
import { ListView } from './list.js';
import { OutboxView } from './outbox.js';
import { StatusBar } from './status-bar.js';
import { WelcomeView } from './welcome.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../app.js').App} App
 * @typedef {import('../router.js').Route} Route
 * @typedef {{element: HTMLElement, title: () => string, destroy: () => void, focus?: () => void}} View
 */

const WIDE = matchMedia('(min-width: 761px)');

export class Shell {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.bar = new StatusBar(app);
    this.alerts = new Alerts(app);
    this.nav = h('nav', { class: 'types', 'aria-label': words.shell.types });
    this.listPane = h('section', { class: 'list', 'aria-label': words.shell.list });
    this.detailPane = h('main', { class: 'detail', id: 'detail', tabIndex: -1 });
    this.element = h(
      'div',
      { class: 'shell' },
      h(
        'a',
        {
          class: 'skip',
          href: '#detail',
          onclick: (/** @type {Event} */ event) => {
            event.preventDefault();
            this.detailPane.focus();
          },
        },
        words.shell.skip,
      ),
      this.bar.element,
      this.alerts.element,
      this.nav,
      this.listPane,
      this.detailPane,
    );
    /** @type {ListView | null} */
    this.list = null;
    /** @type {View | null} */
    this.detail = null;
    this.shown = '';
    this.drawnTypes = '';
    /** @type {Route} */
    this.route = { page: 'home' };
    this.onHash = () => {
      closeSheets();
      this.go();
    };
    this.onWidth = () => this.go();
    this.onKey = (/** @type {KeyboardEvent} */ event) => this.key(event);
    addEventListener('hashchange', this.onHash);
    addEventListener('keydown', this.onKey);
    WIDE.addEventListener('change', this.onWidth);
    this.stops = [app.on('definitions', () => this.onDefinitions()), app.on('drafts', () => this.drawTypes())];
    this.onDefinitions();
  }

  destroy() {
    removeEventListener('hashchange', this.onHash);
    removeEventListener('keydown', this.onKey);
    WIDE.removeEventListener('change', this.onWidth);
    for (const stop of this.stops) stop();
    this.bar.destroy();
    this.alerts.destroy();
    this.list?.destroy();
    this.detail?.destroy();
  }

  onDefinitions() {
    this.drawTypes();
    this.go();
  }

  drawTypes() {
    const current = 'table' in this.route ? this.route.table : '';
    const key = JSON.stringify([
      current,
      [...this.app.types.values()].map((type) => [type.table_name, type.label_plural, type.icon]),
    ]);
    if (key === this.drawnTypes) return;
    this.drawnTypes = key;
    this.nav.replaceChildren(
      ...[...this.app.types.values()].map((type) =>
        h(
          'a',
          {
            href: address({ page: 'list', table: type.table_name }),
            title: type.label_plural || type.label,
            'aria-current': type.table_name === current ? 'page' : null,
          },
          icon(type.icon),
          h('span', {}, type.label_plural || type.label),
          icon('back', 'go'),
        ),
      ),
    );
  }

  /** Show the page of the current address. */
  go() {
    this.route = this.known(parse(location.hash));
    const { route } = this;
    if (route.page === 'home' && WIDE.matches && this.app.types.size) {
      const [first] = this.app.types.keys();
      return location.replace(address({ page: 'list', table: first }));
    }
    const page = { home: 'types', list: 'list' }[/** @type {string} */ (route.page)] ?? 'detail';
    this.element.dataset.page = page;
    this.element.classList.toggle('wide', !('table' in route));
    this.drawTypes();
    this.showList();
    this.showDetail();
    this.retitle();
  }

  /**
   * Return home for a type that does not exist (yet).
   * @param {Route} route
   * @returns {Route}
   */
  known(route) {
    return 'table' in route && !this.app.types.has(route.table) ? { page: 'home' } : route;
  }

  showList() {
    const table = 'table' in this.route ? this.route.table : '';
    if (this.list && this.list.table !== table && table) {
      this.list.destroy();
      this.list = null;
    }
    if (!this.list && table) {
      this.list = new ListView(this.app, table);
      this.listPane.replaceChildren(this.list.element);
    }
    this.list?.widen(WIDE.matches && this.route.page === 'list');
    this.list?.select(this.route.page === 'record' ? this.route.id : '');
  }

  showDetail() {
    const key = JSON.stringify(this.route.page === 'list' ? { page: 'list', table: '' } : this.route);
    if (key === this.shown && this.detail) return;
    this.shown = key;
    this.detail?.destroy();
    this.detail = this.makeDetail();
    this.detailPane.replaceChildren(this.detail.element);
    this.detail.focus?.();
  }

  /** @returns {View} */
  makeDetail() {
    const { app, route } = this;
    const retitled = () => this.retitle();
    switch (route.page) {
      case 'record':
        return new DetailView(app, { table: route.table, id: route.id, retitled });
      case 'new':
        return new DetailView(app, { table: route.table, id: null, retitled });
      case 'fix':
        return new DetailView(app, { fix: route.op, retitled });
      case 'outbox':
        return new OutboxView(app);
      case 'diagnostics':
        return new DiagnosticsView(app);
      default:
        return new WelcomeView(app);
    }
  }

  retitle() {
    const type = 'table' in this.route ? this.app.types.get(this.route.table) : undefined;
    const parts = [
      this.route.page === 'list' || this.route.page === 'home' ? '' : this.detail?.title(),
      type?.label_plural,
      words.brand,
    ];
    document.title = parts.filter(Boolean).join(' · ');
  }

  keys() {
    sheet(words.shell.shortcuts, {
      class: 'question',
      body: [
        h(
          'dl',
          { class: 'keys' },
          ...words.shell.keys.flatMap(([key, does]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, does)]),
        ),
      ],
    });
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { target } = event;
    const typing =
      target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
    if (document.querySelector('dialog[open]')) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 's' && this.detail instanceof DetailView) {
      event.preventDefault();
      void this.detail.save();
    } else if (
      event.key === 'Escape' &&
      this.route.page !== 'list' &&
      'table' in this.route &&
      !event.defaultPrevented
    ) {
      location.hash = address({ page: 'list', table: this.route.table });
      this.list?.focus();
    } else if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey && this.list) {
      if (event.key === '/') {
        event.preventDefault();
        this.list.search.focus();
      } else if (event.key === 'n' && this.app.canCreate(this.list.table)) {
        event.preventDefault();
        location.hash = address({ page: 'new', table: this.list.table });
      } else if (event.key === '?') {
        this.keys();
      }
    }
  }
}
