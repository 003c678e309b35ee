/** Begins: opens the replica, then shows the log-in page or the app. */

import { open } from '../sdk/index.js';
import { App } from './app.js';
import { native } from './native.js';
import { register } from './updates.js';
import { closeSheets } from './ui/dialog.js';
import { h } from './ui/dom.js';
import { dismissToast } from './ui/toast.js';
import { Shell } from './views/shell.js';
import { signInPage } from './views/sign-in.js';
import { words } from './words/index.js';

const place = /** @type {HTMLElement} */ (document.getElementById('app'));

/** @type {Shell | null} */
let shell = null;
let shown = '';
/** @type {string | null} */
let person = null;

/** @param {App} app */
function show(app) {
  // A device whose token was revoked goes on working: only one that never was logged in, or logged out, sees the log-in page.
  const { phase, problem } = app.status;
  const wanted = phase === 'signed_out' && !problem ? `sign-in:${app.status.pending}` : 'shell';
  if (wanted !== 'shell' && shown === 'shell' || person !== null && app.status.user !== null && app.status.user !== person) leave(app);
  person = app.status.user ?? person;
  if (wanted === shown) return;
  shown = wanted;
  shell?.destroy();
  shell = wanted === 'shell' ? new Shell(app) : null;
  place.replaceChildren(shell ? shell.element : signInPage(app));
  if (!shell) document.title = words.signIn.pageTitle;
}

/**
 * Somebody logged out, here or in another window, or somebody else logged in: nothing they typed or looked at is left on the screen.
 * @param {App} app
 */
function leave(app) {
  app.drafts.clear();
  dismissToast();
  closeSheets();
}

async function start() {
  try {
    const app = new App(await open({ client: native ? 'ios' : 'web' }));
    await app.start();
    app.on('status', () => show(app));
    addEventListener('beforeunload', (event) => { if ([...app.drafts.values()].some((draft) => draft.dirty)) event.preventDefault(); });
    show(app);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    place.replaceChildren(h('main', { class: 'starting' }, h('h1', {}, words.start.title), h('p', {}, why), h('p', {}, words.start.hint)));
  }
  register('/sw.js').catch(() => { /* Without it the app works, but does not start offline. */ });
}

void start();
