/** Above a record: edits of it that are not on the server yet, or never will be as they are. */

import { edits } from '../sync/describe.js';
import { fieldsOf, reason, fieldChanges, verb } from '../sync/ops.js';
import { canFix } from '../sync/rights.js';
import { address } from '../router.js';
import { button, h, icon } from '../ui/dom.js';
import { openConflict } from './conflict.js';

/**
 * @typedef {import('../app.js').App} App
 * @typedef {import('../../sdk/types.js').Overlay} Overlay
 * @typedef {{table: string, id: string | null, fixing: import('./fix.js').Fix | null}} Of
 */

// An edit that is sent at once is gone again before anybody could read the notice.
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
    const own = all.filter((overlay) => overlay.table === table && overlay.id === id && overlay.op !== 'settle' && overlay.state !== 'acked');
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
    this.element.replaceChildren(...rest.map((overlay) => this.notice(overlay)), ...(waiting.length ? [this.waiting(waiting)] : []));
  }

  /** @param {Overlay} overlay */
  notice(overlay) {
    const { app } = this;
    const what = this.what(overlay);
    if (overlay.state === 'conflict') {
      return box('warn', 'Conflict.', `${overlay.details?.by || 'Someone else'} changed the same meanwhile. Yours: ${what}`, [button('Decide', () => void openConflict(app, overlay.op_id), { kind: 'primary' })]);
    }
    const type = app.types.get(overlay.table);
    const { fixing } = this.of;
    const fix = fixing || !type || !canFix(app.rights(overlay.table), overlay) ? null : h('a', { class: 'button primary', href: address({ page: 'fix', op: overlay.op_id }) }, 'Repair');
    const title = overlay.state === 'parked' ? 'This edit has no place any more.' : 'The server rejected an edit.';
    const left = fixing?.leftOut.length ? ` Left out now: ${fixing.leftOut.map((name) => fieldsOf(type).get(name)?.label ?? name).join(', ')}.` : '';
    return box('bad', title, `${rejectionText(type, overlay)} ${what}${left}`, [fix, this.undo('Discard', overlay)]);
  }

  /**
   * Edits that wait are one notice, however many; the newest is the one to undo.
   * @param {Overlay[]} overlays
   */
  waiting(overlays) {
    const last = overlays[overlays.length - 1];
    const many = overlays.length > 1;
    return box('plain', 'Not sent yet.', `${many ? `${edits(overlays.length)}. ` : ''}${this.what(last)}`, [this.undo(many ? 'Undo the last' : 'Undo', last)]);
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
    const type = this.app.types.get(overlay.table);
    const fields = fieldChanges(type, overlay).map(({ label }) => label);
    return overlay.op === 'update' ? `${verb('update')}: ${fields.join(', ')}.` : `${verb(overlay.op)}.`;
  }
}

/**
 * Say why an edit was rejected, with what it is about.
 * @param {import('../../sdk/types.js').ObjectType | undefined} type
 * @param {Overlay} overlay
 */
export function rejectionText(type, overlay) {
  const { text, field } = reason(type, overlay);
  return field ? `${fieldsOf(type).get(field)?.label}: ${text}` : text;
}

/**
 * @param {'plain' | 'warn' | 'bad'} tone
 * @param {string} title
 * @param {string} text
 * @param {(Node | null)[]} actions
 */
function box(tone, title, text, actions) {
  return h('div', { class: `notice ${tone}` }, icon(tone === 'plain' ? 'sync' : 'warning'), h('p', {}, h('strong', {}, title), ' ', text), h('div', { class: 'actions' }, ...actions));
}
