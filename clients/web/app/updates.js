/** The page’s side of the service worker: register it, and report when a new version is waiting. */

import { native } from './native.js';

/** @type {Set<() => void>} */
const listeners = new Set();
/** @type {ServiceWorker | null} */
let waiting = null;
let reloading = false;
/** Another window activated a new version, so this one runs old code next to the new version’s files. */
let overtaken = false;

export const update = {
  /** Whether a new version is downloaded and waits for a reload. */
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

  /** Activate the new version. Other windows run it after their next load, this one immediately. */
  use() {
    if (overtaken) return location.reload();
    reloading = true;
    waiting?.postMessage('use-now');
  },
};

/**
 * Register the service worker where the browser supports it. Without it, the app cannot open offline.
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
    // The very first version has nothing to wait for.
    waiting = registration.active ? registration.waiting : null;
    for (const listener of listeners) listener();
  };
  registration.addEventListener('updatefound', () => registration.installing?.addEventListener('statechange', look));
  look();
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') registration.update().catch(() => {});
  });
}
