/** A short message at the foot of the screen, for what was just done; with an action, mostly to undo it. */

import { button, h } from './dom.js';

const SHOWN_MS = 6000;

/** @type {HTMLElement | null} */
let place = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/**
 * Show a message; it takes the place of the one before.
 * @param {string} text
 * @param {{action?: string, onaction?: () => void, tone?: 'plain' | 'bad'}} [about]
 */
export function toast(text, { action, onaction, tone = 'plain' } = {}) {
  place ??= document.body.appendChild(h('div', { class: 'toasts', role: 'status', 'aria-live': 'polite' }));
  const close = () => place?.replaceChildren();
  const act = () => { close(); onaction?.(); };
  place.replaceChildren(h('div', { class: `toast ${tone}` }, h('span', {}, text), action ? button(action, act) : null, button('Dismiss', close, { icon: 'close', kind: 'icon' })));
  clearTimeout(timer);
  timer = setTimeout(close, SHOWN_MS);
}
