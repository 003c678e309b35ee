/** Edits of this device that are not on the server: waiting, rejected, or in conflict, each with its actions. */

import { ago } from '../forms/display.js';
import { address } from '../router.js';
import { fieldChanges, verb } from '../sync/ops.js';
import { allows, canFix } from '../sync/rights.js';
import { ask } from '../ui/dialog.js';
import { button, h, icon } from '../ui/dom.js';
import { back } from './back.js';
import { openConflict } from './conflict.js';
import { rejectionText } from './notices.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../app.js').App} App
 * @typedef {import('../../sdk/index.js').Overlay} Overlay
 */

/** @type {[Overlay['state'][], string, string][]} */
const SECTIONS = [
  [['conflict'], words.outbox.conflicts, words.outbox.conflictsText],
  [['rejected', 'parked'], words.outbox.rejected, words.outbox.rejectedText],
  [['pending', 'acked'], words.outbox.waiting, words.outbox.waitingText],
];
const SHOWN = 200;

export class OutboxView {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.content = h('div', { class: 'body' });
    this.element = h(
      'article',
      { class: 'record page' },
      h('div', { class: 'pane-head' }, back(words.outbox.home, { page: 'home' }), h('h1', {}, words.outbox.title)),
      this.content,
    );
    this.turn = 0;
    this.stops = [
      app.on('overlays', () => this.again()),
      app.on('definitions', () => this.again()),
      app.on('rights', () => this.again()),
    ];
    void app.attempt(() => this.read());
  }

  title() {
    return words.outbox.title;
  }

  destroy() {
    this.turn += 1;
    for (const stop of this.stops) stop();
  }

  /** Redraw after a change. If reading fails, the page stays as it is until the next change. */
  again() {
    this.read().catch(() => {});
  }

  async read() {
    this.turn += 1;
    const { turn, app } = this;
    const overlays = (await app.moat.overlays()).filter((overlay) => overlay.op !== 'settle');
    const open = new Set((await app.moat.conflicts()).map((conflict) => conflict.op_id));
    // A resolved conflict only waits for the server.
    const shown = overlays.filter((overlay) => overlay.state !== 'conflict' || open.has(overlay.op_id));
    const titles = await this.titles(shown.slice(0, SHOWN));
    if (turn !== this.turn) return;
    if (!shown.length) {
      this.content.replaceChildren(
        h(
          'div',
          { class: 'empty' },
          icon('check'),
          h('h2', {}, words.outbox.empty),
          h('p', {}, words.outbox.emptyText),
        ),
      );
      return;
    }
    this.content.replaceChildren(
      ...SECTIONS.flatMap(([states, label, text]) => {
        const own = shown.filter((overlay) => states.includes(overlay.state));
        return own.length ? [this.section(label, text, own, titles)] : [];
      }),
    );
  }

  /**
   * @param {string} label
   * @param {string} text
   * @param {Overlay[]} overlays
   * @param {Map<number, string>} titles
   */
  section(label, text, overlays, titles) {
    const rest = overlays.length - SHOWN;
    return h(
      'section',
      { class: 'outbox' },
      h('h2', {}, words.outbox.section(label, overlays.length)),
      h('p', { class: 'soft' }, text),
      h(
        'ul',
        { class: 'entries' },
        ...overlays.slice(0, SHOWN).map((overlay) => this.entry(overlay, titles.get(overlay.op_id) ?? overlay.id)),
      ),
      rest > 0 ? h('p', { class: 'soft' }, words.outbox.notShown(rest)) : null,
    );
  }

  /**
   * @param {Overlay} overlay
   * @param {string} title
   */
  entry(overlay, title) {
    const type = this.app.types.get(overlay.table);
    const defaults = new Map((type?.fields ?? []).map((field) => [field.name, field.default ?? null]));
    const changes = fieldChanges(type, overlay).filter(
      ({ field, after }) => overlay.op !== 'insert' || (after ?? null) !== (defaults.get(field) ?? null),
    );
    const actions = this.actions(overlay, title);
    return h(
      'li',
      { class: 'entry', 'data-op': overlay.op_id },
      h(
        'p',
        {},
        h('strong', {}, title),
        words.outbox.entry(type?.label ?? overlay.table, verb(overlay.op), ago(overlay.created_at, Date.now())),
      ),
      overlay.state === 'rejected' || overlay.state === 'parked'
        ? h('p', { class: 'error' }, rejectionText(type, overlay))
        : null,
      changes.length
        ? h(
            'p',
            { class: 'soft' },
            changes
              .slice(0, 6)
              .map(({ label, text }) => `${label}: ${text}`)
              .join(' · '),
          )
        : null,
      actions.length ? h('div', { class: 'actions' }, ...actions) : null,
    );
  }

  /**
   * @param {Overlay} overlay
   * @param {string} title
   */
  actions(overlay, title) {
    const { app } = this;
    const type = app.types.get(overlay.table);
    if (overlay.state === 'conflict')
      return [button(words.outbox.review, () => void openConflict(app, overlay.op_id), { kind: 'primary' })];
    if (overlay.state === 'pending')
      return [
        button(words.outbox.undo, () => void app.attempt(() => app.moat.discard(overlay.op_id)), { icon: 'undo' }),
      ];
    if (overlay.state === 'acked') return [];
    const rights = app.rights(overlay.table);
    const fix =
      type && canFix(rights, overlay)
        ? [h('a', { class: 'button primary', href: address({ page: 'fix', op: overlay.op_id }) }, words.outbox.fix)]
        : [];
    const again =
      type && allows(rights, overlay, type)
        ? [button(words.outbox.resend, () => void app.attempt(() => app.moat.retry(overlay.op_id)), { icon: 'redo' })]
        : [];
    return [
      ...fix,
      ...again,
      button(words.outbox.discard, () => void this.discard(overlay, title), { icon: 'trash', kind: 'danger' }),
    ];
  }

  /**
   * @param {Overlay} overlay
   * @param {string} title
   */
  async discard(overlay, title) {
    const answer = await ask(words.outbox.discardTitle, words.outbox.discardText(title), [
      { key: 'no', label: words.outbox.cancel },
      { key: 'yes', label: words.outbox.discard, kind: 'danger' },
    ]);
    if (answer === 'yes') await this.app.attempt(() => this.app.moat.discard(overlay.op_id));
  }

  /**
   * @param {Overlay[]} overlays
   * @returns {Promise<Map<number, string>>}
   */
  async titles(overlays) {
    const { app } = this;
    const found = await Promise.all(
      overlays.map(async (overlay) => {
        const type = app.types.get(overlay.table);
        const record = type ? await app.moat.get(overlay.table, overlay.id) : null;
        const known = record ?? {
          ...overlay.details?.base,
          ...(overlay.op === 'insert' ? overlay.payload : {}),
          id: overlay.id,
        };
        return /** @type {[number, string]} */ ([overlay.op_id, app.titleOf(type, known)]);
      }),
    );
    return new Map(found);
  }
}
