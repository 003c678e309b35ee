/** The bar at the top: sync status, edits that need attention, and the signed-in user. */

import { install } from '../install.js';
import { address } from '../router.js';
import { describe, profileName, safety } from '../sync/describe.js';
import { button, h, icon } from '../ui/dom.js';
import { sheet } from '../ui/dialog.js';
import { signOut } from './sign-in.js';
import { words } from '../words/index.js';

/** @typedef {import('../app.js').App} App */

const LOGO = new URL('../icons/icon.svg', import.meta.url).href;
// Show “Syncing” only if it lasts longer than this, to avoid a flicker.
const CALM_MS = 400;

export class StatusBar {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.state = h('button', { type: 'button', class: 'sync-state', onclick: () => this.explain() });
    this.announcer = h('span', { class: 'visually-hidden', role: 'status' });
    this.attention = h('a', { class: 'attention', href: address({ page: 'outbox' }), hidden: true });
    this.who = h('span', { class: 'who' });
    this.fill = h('div', {});
    this.progress = h(
      'div',
      {
        class: 'progress',
        role: 'progressbar',
        'aria-label': words.account.progress,
        'aria-valuemin': '0',
        'aria-valuemax': '100',
        hidden: true,
      },
      this.fill,
    );
    this.element = h(
      'header',
      { class: 'status-bar' },
      h(
        'a',
        { class: 'brand', href: '#/', 'aria-label': words.account.home },
        h('img', { src: LOGO, alt: '', width: 28, height: 28 }),
        h('span', {}, words.brand),
      ),
      this.state,
      this.announcer,
      this.attention,
      this.who,
      button(words.account.menu, () => this.menu(), { icon: 'user', kind: 'icon' }),
      this.progress,
    );
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.calm = undefined;
    this.stop = app.on('status', () => this.update());
    this.draw();
  }

  destroy() {
    clearTimeout(this.calm);
    this.stop();
  }

  update() {
    const { status } = this.app;
    const calm = status.phase === 'live' && status.pending && this.state.dataset.phase === 'live';
    this.state.dataset.pending = String(status.pending);
    clearTimeout(this.calm);
    if (calm) this.calm = setTimeout(() => this.draw(), CALM_MS);
    else this.draw();
  }

  draw() {
    const { status } = this.app;
    const { tone, text, progress } = describe(status, Date.now());
    const label = status.pending ? words.account.pending(text, status.pending) : text;
    this.state.className = `sync-state ${tone}`;
    this.state.dataset.phase = status.phase;
    this.state.dataset.pending = String(status.pending);
    if (this.state.textContent !== label) {
      this.state.textContent = label;
      this.announcer.textContent = label;
    }
    const waiting = status.conflicts + status.rejected + status.parked;
    this.attention.hidden = waiting === 0;
    this.attention.replaceChildren(icon('warning'), String(waiting));
    this.attention.setAttribute('aria-label', words.account.attention(waiting));
    this.who.textContent = status.user ? `${status.user} · ${status.tenant ?? ''}` : '';
    this.progress.hidden = progress === null;
    this.progress.setAttribute('aria-valuenow', String(Math.round((progress ?? 0) * 100)));
    this.fill.style.transform = `scaleX(${progress ?? 0})`;
  }

  explain() {
    const { status } = this.app;
    const { text, hint } = describe(status, Date.now());
    const dialog = sheet(text, {
      body: [h('p', {}, hint), h('p', { class: 'soft' }, safety(status.storage, this.app.kept))],
      foot: [
        button(
          words.account.viewOutbox,
          () => {
            dialog.close();
            location.hash = address({ page: 'outbox' });
          },
          { icon: 'inbox' },
        ),
        button(
          words.account.diagnostics,
          () => {
            dialog.close();
            location.hash = address({ page: 'diagnostics' });
          },
          { icon: 'info' },
        ),
      ],
    });
  }

  menu() {
    const { status } = this.app;
    const go = (/** @type {import('../router.js').Route} */ route) => () => {
      dialog.close();
      location.hash = address(route);
    };
    const items = [
      button(words.account.outbox, go({ page: 'outbox' }), { icon: 'inbox' }),
      button(words.account.diagnostics, go({ page: 'diagnostics' }), { icon: 'info' }),
      ...(install.ready
        ? [
            button(
              words.account.install,
              () => {
                dialog.close();
                void install.ask();
              },
              { icon: 'box' },
            ),
          ]
        : []),
      h('hr', {}),
      button(
        status.phase === 'signed_out' ? words.account.signInAgain : words.account.signOut,
        () => {
          dialog.close();
          void signOut(this.app);
        },
        { icon: 'logout', kind: 'danger' },
      ),
    ];
    const dialog = sheet(status.user ?? words.account.title, {
      body: [
        h('p', { class: 'soft' }, [status.tenant, profileName(status.profile)].filter(Boolean).join(' · ')),
        h('div', { class: 'menu' }, ...items),
        ...(install.how ? [h('p', { class: 'soft' }, install.how)] : []),
      ],
    });
  }
}
