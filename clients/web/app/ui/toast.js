/** A short message at the foot of the screen, for what was just done; with an action, mostly to undo it. */

import { button, h } from './dom.js';
import { words } from '../words/index.js';

const SHOWN_MS = 6000;

/** @type {HTMLElement | null} */
let place = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
/** @type {(() => void) | null} what takes the present message away */
let shown = null;

/** Take away what is shown. */
export function dismissToast() {
  shown?.();
}

/**
 * Show a message; it takes the place of the one before. Returns what takes it away again.
 * @param {string} text
 * @param {{action?: string, onaction?: () => void, tone?: 'plain' | 'bad', onclose?: () => void}} [about] `onclose`: it is gone, however
 */
export function toast(text, { action, onaction, tone = 'plain', onclose } = {}) {
  place ??= document.body.appendChild(h('div', { class: 'toasts', role: 'status', 'aria-live': 'polite' }));
  shown?.();
  let there = true;
  const close = () => {
    if (!there) return;
    there = false;
    clearTimeout(timer);
    shown = null;
    message.remove();
    onclose?.();
  };
  const act = () => { close(); onaction?.(); };
  const message = h('div', { class: `toast ${tone}` }, h('span', {}, text), action ? button(action, act) : null, button(words.ui.dismiss, close, { icon: 'close', kind: 'icon' }));
  place.append(message);
  shown = close;
  timer = setTimeout(close, SHOWN_MS);
  return close;
}
