/** Entry point: open the replica, then show the sign-in page or the app. */

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
let user = null;

/** @param {App} app */
function show(app) {
  // A revoked device keeps working. Only one that never signed in, or signed out, shows the sign-in page.
  const { phase, problem } = app.status;
  const wanted = phase === 'signed_out' && !problem ? `sign-in:${app.status.pending}` : 'shell';
  const left = wanted !== 'shell' && shown === 'shell';
  const replaced = user !== null && app.status.user !== null && app.status.user !== user;
  if (left || replaced) leave(app);
  user = app.status.user ?? user;
  if (wanted === shown) return;
  shown = wanted;
  shell?.destroy();
  shell = wanted === 'shell' ? new Shell(app) : null;
  place.replaceChildren(shell ? shell.element : signInPage(app));
  if (!shell) document.title = words.signIn.pageTitle;
}

/**
 * Clear what the previous user typed or viewed: someone signed out in any window, or signed in as another user.
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
    addEventListener('beforeunload', (event) => {
      if ([...app.drafts.values()].some((draft) => draft.dirty)) event.preventDefault();
    });
    show(app);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    place.replaceChildren(
      h('main', { class: 'starting' }, h('h1', {}, words.start.title), h('p', {}, why), h('p', {}, words.start.hint)),
    );
  }
  register('/sw.js').catch(() => {
    /* The app works without it, but does not open offline. */
  });
}

void start();
