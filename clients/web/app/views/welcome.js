/** The detail pane while no record is open: the initial sync, an empty account, or a hint. */

import { describe } from '../sync/describe.js';
import { h, icon } from '../ui/dom.js';
import { words } from '../words/index.js';

/** @typedef {import('../app.js').App} App */

export class WelcomeView {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.element = h('div', { class: 'empty' });
    this.stops = [app.on('status', () => this.draw()), app.on('definitions', () => this.draw())];
    this.draw();
  }

  title() {
    return '';
  }

  destroy() {
    for (const stop of this.stops) stop();
  }

  draw() {
    const { app } = this;
    if (app.types.size) return this.element.replaceChildren(icon('list'), h('p', {}, words.welcome.choose));
    const { text, hint, progress } = describe(app.status, Date.now());
    if (app.status.phase === 'live')
      return this.element.replaceChildren(
        icon('box'),
        h('h1', {}, words.welcome.nothing),
        h('p', {}, words.welcome.nothingText),
      );
    const bar = h('progress', { max: 1, 'aria-label': words.welcome.firstSync });
    if (progress !== null) bar.value = progress;
    return this.element.replaceChildren(h('h1', {}, text), h('p', {}, hint), bar);
  }
}
