/** The page's side of the service worker: registers it, and says when a new version waits. */

import { native } from './native.js';

/** @type {Set<() => void>} */
const listeners = new Set();
/** @type {ServiceWorker | null} */
let waiting = null;
let reloading = false;
/** Another window changed to a new version: this one runs the old one, beside the new one's files. */
let overtaken = false;

export const update = {
  /** Whether a new version is complete on this device and waits for a reload. */
  get ready() {
    return overtaken || waiting !== null;
  },

  /**
   * @param {() => void} listener
   * @returns {() => void}
   */
  listen(listener) {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  },

  /** Change to the new version now: all windows run it after their next load, this one at once. */
  use() {
    if (overtaken) return location.reload();
    reloading = true;
    waiting?.postMessage('use-now');
  },
};

/**
 * Register the service worker, where there can be one. The app works without; it only cannot start without the server then.
 * @param {string} address
 */
export async function register(address) {
  if (!navigator.serviceWorker || native) return;
  let controlled = navigator.serviceWorker.controller !== null;
  navigator.serviceWorker.addEventListener('controllerchange', () => {
    if (reloading) return location.reload();
    overtaken = controlled;
    controlled = true;
    for (const listener of listeners) listener();
  });
  const registration = await navigator.serviceWorker.register(address, { scope: '/', updateViaCache: 'none' });
  const look = () => {
    // The first version ever does not wait for anybody.
    waiting = registration.active ? registration.waiting : null;
    for (const listener of listeners) listener();
  };
  registration.addEventListener('updatefound', () => registration.installing?.addEventListener('statechange', look));
  look();
  document.addEventListener('visibilitychange', () => { if (document.visibilityState === 'visible') registration.update().catch(() => {}); });
}
