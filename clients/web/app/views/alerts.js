/** Alerts on every page: conflicts, a sync that cannot continue, missing storage, and a new version. */

import { install } from '../install.js';
import { alarm } from '../sync/describe.js';
import { update } from '../updates.js';
import { ask } from '../ui/dialog.js';
import { button, h, icon } from '../ui/dom.js';
import { openConflict } from './conflict.js';
import { signInSheet } from './sign-in.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../app.js').App} App
 * @typedef {{key: string, tone: 'warn' | 'bad' | 'plain', title: string, text: string, action?: string,
 *   onaction?: () => void}} Alert
 */

const RESTING = new Set(['offline', 'signed_out', 'halted']);
// The alert about possible deletion shows once. The status sheet and diagnostics keep showing it.
const KNOWN = 'moat.eviction-known';

export class Alerts {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.element = h('div', { class: 'alerts', role: 'region', 'aria-label': words.alerts.label });
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
      const action =
        stopped.action === 'login'
          ? { action: words.alerts.signIn, onaction: () => signInSheet(app) }
          : stopped.action === 'start_over'
            ? { action: words.alerts.startOver, onaction: () => void startOver(app) }
            : {};
      alerts.push({ key: `stopped:${stopped.text}`, tone: 'bad', title: stopped.title, text: stopped.text, ...action });
    }
    if (status.conflicts) {
      alerts.push({
        key: `conflicts:${status.conflicts}`,
        tone: 'warn',
        title: words.alerts.conflictTitle(status.conflicts),
        text: words.alerts.conflictText(status.conflicts),
        action: words.alerts.review,
        onaction: () => void openConflict(app),
      });
    }
    if (!status.storage.durable)
      alerts.push({
        key: 'storage',
        tone: 'warn',
        title: words.alerts.notStoredTitle,
        text: words.alerts.notStoredText,
      });
    else if (status.storage.reason && /full|quota|space/i.test(status.storage.reason))
      alerts.push({ key: 'full', tone: 'bad', title: words.alerts.fullTitle, text: words.alerts.fullText });
    else if (app.kept === false && status.pending && RESTING.has(status.phase) && !localStorage.getItem(KNOWN)) {
      alerts.push({
        key: 'kept',
        tone: 'plain',
        title: words.alerts.unprotectedTitle,
        text: words.alerts.unprotectedText,
        action: install.ready ? words.alerts.install : words.alerts.gotIt,
        onaction: () => {
          localStorage.setItem(KNOWN, 'yes');
          void install.ask();
          this.draw();
        },
      });
    }
    if (update.ready)
      alerts.push({
        key: 'update',
        tone: 'plain',
        title: words.alerts.updateTitle,
        text: words.alerts.updateText,
        action: words.alerts.reload,
        onaction: () => update.use(),
      });
    return alerts;
  }
}

/** @param {Alert} alert */
function drawAlert({ key, tone, title, text, action, onaction }) {
  return h(
    'div',
    { class: `notice ${tone}`, role: 'alert', 'data-about': key.split(':')[0] },
    icon(tone === 'plain' ? 'info' : 'warning'),
    h('p', {}, h('strong', {}, title), ' ', text),
    action && onaction ? button(action, onaction, { kind: 'primary' }) : null,
  );
}

/** @param {App} app */
async function startOver(app) {
  const answer = await ask(words.alerts.startOverTitle, words.alerts.startOverText, [
    { key: 'no', label: words.alerts.cancel },
    { key: 'yes', label: words.alerts.startOver, kind: 'primary' },
  ]);
  if (answer === 'yes') await app.attempt(() => app.moat.startOver());
}
