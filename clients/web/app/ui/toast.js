/** Short messages at the bottom of the screen about what was just done, with an action such as Undo. */

import { button, h } from './dom.js';
import { words } from '../words/index.js';

const SHOWN_MS = 6000;

/** @type {HTMLElement | null} */
let place = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
/** @type {(() => void) | null} removes the current message */
let shown = null;

/** Remove the current message. */
export function dismissToast() {
  shown?.();
}

/**
 * Show a message instead of the current one. Returns a function that removes it.
 * @param {string} text
 * @param {{action?: string, onaction?: () => void, tone?: 'plain' | 'bad', onclose?: () => void}} [about]
 *   `onclose`: called once it is removed for any reason
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
  const act = () => {
    close();
    onaction?.();
  };
  const message = h(
    'div',
    { class: `toast ${tone}` },
    h('span', {}, text),
    action ? button(action, act) : null,
    button(words.ui.dismiss, close, { icon: 'close', kind: 'icon' }),
  );
  place.append(message);
  shown = close;
  timer = setTimeout(close, SHOWN_MS);
  return close;
}
