/** What needs a person, on every page until it is dealt with: a conflict, a sync that cannot go on, a browser that forgets, a new version. */

import { install } from '../install.js';
import { alarm } from '../sync/describe.js';
import { update } from '../updates.js';
import { ask } from '../ui/dialog.js';
import { button, h, icon } from '../ui/dom.js';
import { openConflict } from './conflict.js';
import { signInSheet } from './sign-in.js';

/**
 * @typedef {import('../app.js').App} App
 * @typedef {{key: string, tone: 'warn' | 'bad' | 'plain', title: string, text: string, action?: string, onaction?: () => void}} Alert
 */

const RESTING = new Set(['offline', 'signed_out', 'halted']);
// That the browser may remove data is said once; the status and the diagnostics go on saying it.
const KNOWN = 'moat.eviction-known';

export class Alerts {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.element = h('div', { class: 'alerts', role: 'region', 'aria-label': 'Needs attention' });
    /** @type {Map<string, HTMLElement>} */
    this.drawn = new Map();
    this.stops = [app.on('status', () => this.draw()), update.listen(() => this.draw())];
    this.draw();
  }

  destroy() {
    for (const stop of this.stops) stop();
  }

  draw() {
    const wanted = this.wanted();
    const keys = new Set(wanted.map(({ key }) => key));
    for (const [key, element] of this.drawn) {
      if (keys.has(key)) continue;
      element.remove();
      this.drawn.delete(key);
    }
    for (const alert of wanted) {
      if (this.drawn.has(alert.key)) continue;
      const element = drawAlert(alert);
      this.drawn.set(alert.key, element);
      this.element.append(element);
    }
  }

  /** @returns {Alert[]} */
  wanted() {
    const { app } = this;
    const { status } = app;
    /** @type {Alert[]} */
    const alerts = [];
    const stopped = alarm(status);
    if (stopped) {
      const action = stopped.action === 'login' ? { action: 'Log in', onaction: () => signInSheet(app) }
        : stopped.action === 'start_over' ? { action: 'Start over', onaction: () => void startOver(app) } : {};
      alerts.push({ key: `stopped:${stopped.text}`, tone: 'bad', title: stopped.title, text: stopped.text, ...action });
    }
    if (status.conflicts) {
      const text = status.conflicts === 1 ? 'Someone else changed the same as you. Decide what holds.' : `${status.conflicts} of your edits meet changes of others. Decide what holds.`;
      alerts.push({ key: `conflicts:${status.conflicts}`, tone: 'warn', title: status.conflicts === 1 ? 'Conflict.' : 'Conflicts.', text, action: 'Decide', onaction: () => void openConflict(app) });
    }
    if (!status.storage.durable) alerts.push({ key: 'storage', tone: 'warn', title: 'Nothing is kept here.', text: 'This browser keeps no data: stay online until everything is sent, and do not close the window before.' });
    else if (status.storage.reason && /full|quota|space/i.test(status.storage.reason)) alerts.push({ key: 'full', tone: 'bad', title: 'The device is full.', text: 'Free some space, or edits cannot be kept.' });
    else if (app.kept === false && status.pending && RESTING.has(status.phase) && !localStorage.getItem(KNOWN)) {
      alerts.push({ key: 'kept', tone: 'plain', title: 'Unsent edits are only on this device.', text: 'The browser may remove them when space runs out; an installed app is safe.', action: install.ready ? 'Install' : 'I see', onaction: () => { localStorage.setItem(KNOWN, 'yes'); void install.ask(); this.draw(); } });
    }
    if (update.ready) alerts.push({ key: 'update', tone: 'plain', title: 'A new version is ready.', text: 'It starts when you reload.', action: 'Reload', onaction: () => update.use() });
    return alerts;
  }
}

/** @param {Alert} alert */
function drawAlert({ key, tone, title, text, action, onaction }) {
  return h('div', { class: `notice ${tone}`, role: 'alert', 'data-about': key.split(':')[0] }, icon(tone === 'plain' ? 'info' : 'warning'), h('p', {}, h('strong', {}, title), ' ', text), action && onaction ? button(action, onaction, { kind: 'primary' }) : null);
}

/** @param {App} app */
async function startOver(app) {
  const answer = await ask('Take the server’s data anew?', 'The data on this device is replaced by what the server has now. Your edits that were not sent are kept.', [{ key: 'no', label: 'Not now' }, { key: 'yes', label: 'Start over', kind: 'primary' }]);
  if (answer === 'yes') await app.attempt(() => app.moat.startOver());
}
