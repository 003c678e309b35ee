/**
 * Every text of the app that people read: the ground for translations, and the one place to change a wording.
 *
 * A message is a string, or a function of its parameters; counts go through `plural`. Messages are grouped by page.
 * Three files keep their own texts because they work without modules: `index.html`, `manifest.webmanifest`, and the
 * service worker `sw.js`. Labels of types, fields, and choices come from an administrator. Messages of the SDK and the
 * server come with their errors.
 *
 * House rules: sentence case; “sign in”, never “log in”; ’ “ ” and …; toasts and fragments take no period; a button
 * names its effect.
 */

import * as records from './records.js';
import * as sync from './sync.js';

const start = {
  title: 'Moat couldn’t open its data',
  hint: 'Reload the page. If this keeps happening, your browser may be out of date or the device out of storage.',
  install: 'To install, tap Share, then Add to Home Screen.',
};

const shell = {
  types: 'Object types',
  list: 'List',
  skip: 'Skip to record',
  shortcuts: 'Keyboard shortcuts',
  /** @type {[string, string][]} a key, and what it does */
  keys: [
    ['/', 'Search'],
    ['n', 'New record'],
    ['↑ ↓', 'Move through the list'],
    ['Enter', 'Open record'],
    ['Ctrl S', 'Save'],
    ['Esc', 'Back to list'],
    ['?', 'Show shortcuts'],
  ],
};

const welcome = {
  choose: 'Select a record to view it.',
  nothing: 'Nothing here yet',
  nothingText: 'Object types appear here as soon as an administrator publishes them.',
  firstSync: 'Initial sync',
};

/** Sheets and toasts. */
const ui = { close: 'Close', dismiss: 'Dismiss' };

export const words = {
  brand: 'Moat',
  tagline: 'Your work, live and offline.',
  start,
  shell,
  welcome,
  ui,
  ...sync,
  ...records,
};
