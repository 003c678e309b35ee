/**
 * Page lifecycle: wake the replica when the page is back, and release it when the page is left. The only module of the
 * SDK that touches the document.
 */

/** The origin that served this page; empty in a native app, whose pages come from no server. */
export const pageOrigin = () => (location.protocol.startsWith('http') ? location.origin : '');

/**
 * Follow the page until the returned function is called.
 * @param {{wake: () => void, leave: () => void}} handlers `wake`: the page is visible or online again, or a
 *   native shell resumed it · `leave`: the page is being left
 * @returns {() => void}
 */
export function watchPage({ wake, leave }) {
  const wakeIfVisible = () => {
    if (document.visibilityState === 'visible') wake();
  };
  // WebKit keeps a page that was left alive, with its worker and the lock, so the next page would wait forever. `leave`
  // stops the worker; a page restored from that cache reloads.
  const reloadIfRestored = (/** @type {PageTransitionEvent} */ event) => {
    if (event.persisted) location.reload();
  };
  // A native shell (Capacitor) sends `resume`, possibly before the page counts as visible.
  document.addEventListener('resume', wake);
  document.addEventListener('visibilitychange', wakeIfVisible);
  addEventListener('online', wakeIfVisible);
  addEventListener('pagehide', leave);
  addEventListener('pageshow', reloadIfRestored);
  return () => {
    document.removeEventListener('resume', wake);
    document.removeEventListener('visibilitychange', wakeIfVisible);
    removeEventListener('online', wakeIfVisible);
    removeEventListener('pagehide', leave);
    removeEventListener('pageshow', reloadIfRestored);
  };
}
