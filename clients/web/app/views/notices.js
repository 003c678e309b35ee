/** Notices above a record about its edits that are not on the server: waiting, in conflict, rejected, or on hold. */

import { fieldsOf, reason, fieldChanges, verb } from '../sync/ops.js';
import { canFix } from '../sync/rights.js';
import { address } from '../router.js';
import { button, h, icon } from '../ui/dom.js';
import { openConflict } from './conflict.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../app.js').App} App
 * @typedef {import('../../sdk/index.js').Overlay} Overlay
 * @typedef {{table: string, id: string | null, fixing: import('./fix.js').Fix | null}} Of
 */

// An edit that is sent immediately needs no notice: it would only flicker.
const CALM_MS = 500;

export class Notices {
  /**
   * @param {App} app
   * @param {Of} of
   */
  constructor(app, of) {
    this.app = app;
    this.of = of;
    this.element = h('div', { class: 'notices', 'aria-live': 'polite' });
    this.drawn = '';
    this.stop = app.on('overlays', () => void this.read());
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.later = undefined;
  }

  destroy() {
    clearTimeout(this.later);
    this.stop();
  }

  async read() {
    const { table, id, fixing } = this.of;
    if (!table || !id) return;
    const all = await this.app.moat.overlays().catch(() => []);
    const own = all.filter(
      (overlay) => overlay.table === table && overlay.id === id && overlay.op !== 'settle' && overlay.state !== 'acked',
    );
    const shown = fixing ? own.filter((overlay) => overlay.op_id === fixing.overlay.op_id) : own;
    const urgent = shown.some((overlay) => overlay.state !== 'pending');
    clearTimeout(this.later);
    const draw = () => this.draw(shown);
    if (!shown.length || urgent || this.app.status.phase !== 'live') draw();
    else this.later = setTimeout(draw, CALM_MS);
  }

  /** @param {Overlay[]} overlays */
  draw(overlays) {
    const key = JSON.stringify(overlays.map((overlay) => [overlay.op_id, overlay.state]));
    if (key === this.drawn) return;
    this.drawn = key;
    const waiting = overlays.filter((overlay) => overlay.state === 'pending');
    const rest = overlays.filter((overlay) => overlay.state !== 'pending');
    this.element.replaceChildren(
      ...rest.map((overlay) => this.notice(overlay)),
      ...(waiting.length ? [this.waiting(waiting)] : []),
    );
  }

  /** @param {Overlay} overlay */
  notice(overlay) {
    const { app } = this;
    if (overlay.state === 'conflict') {
      return box(
        'warn',
        words.notices.conflictTitle,
        words.notices.conflictText(
          overlay.details?.by || words.notices.someoneElse,
          verb(overlay.op),
          this.fields(overlay),
        ),
        [button(words.notices.review, () => void openConflict(app, overlay.op_id), { kind: 'primary' })],
      );
    }
    const type = app.types.get(overlay.table);
    const { fixing } = this.of;
    const fix =
      fixing || !type || !canFix(app.rights(overlay.table), overlay)
        ? null
        : h('a', { class: 'button primary', href: address({ page: 'fix', op: overlay.op_id }) }, words.notices.fix);
    const title = overlay.state === 'parked' ? words.notices.parkedTitle : words.notices.rejectedTitle;
    const leftOut = (fixing?.leftOut ?? []).map((name) => fieldsOf(type).get(name)?.label ?? name);
    const parts = [
      rejectionText(type, overlay),
      this.what(overlay),
      leftOut.length ? words.notices.leftOut(leftOut.join(', ')) : '',
    ];
    return box('bad', title, parts.filter(Boolean).join(' '), [fix, this.undo(words.notices.discard, overlay)]);
  }

  /**
   * Show one notice for all waiting edits. Undo applies to the newest.
   * @param {Overlay[]} overlays
   */
  waiting(overlays) {
    const last = overlays[overlays.length - 1];
    const many = overlays.length > 1;
    return box('plain', words.notices.waitingTitle, words.notices.waitingText(overlays.length, this.what(last)), [
      this.undo(many ? words.notices.undoLast : words.notices.undo, last),
    ]);
  }

  /**
   * @param {string} label
   * @param {Overlay} overlay
   */
  undo(label, overlay) {
    return button(label, () => void this.app.attempt(() => this.app.moat.discard(overlay.op_id)), { icon: 'undo' });
  }

  /** @param {Overlay} overlay */
  what(overlay) {
    return words.notices.edit(verb(overlay.op), this.fields(overlay));
  }

  /**
   * Return the labels of the fields that an update changes.
   * @param {Overlay} overlay
   */
  fields(overlay) {
    if (overlay.op !== 'update') return [];
    return fieldChanges(this.app.types.get(overlay.table), overlay).map(({ label }) => label);
  }
}

/**
 * Return why an edit was rejected, with the field it concerns.
 * @param {import('../../sdk/index.js').ObjectType | undefined} type
 * @param {Overlay} overlay
 */
export function rejectionText(type, overlay) {
  const { text, field } = reason(type, overlay);
  return field ? words.notices.about(fieldsOf(type).get(field)?.label ?? field, text) : text;
}

/**
 * @param {'plain' | 'warn' | 'bad'} tone
 * @param {string} title
 * @param {string} text
 * @param {(Node | null)[]} actions
 */
function box(tone, title, text, actions) {
  return h(
    'div',
    { class: `notice ${tone}` },
    icon(tone === 'plain' ? 'sync' : 'warning'),
    h('p', {}, h('strong', {}, title), ' ', text),
    h('div', { class: 'actions' }, ...actions),
  );
}
