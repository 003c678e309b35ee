/** Whether this page runs in a native shell such as Capacitor (docs/guides/ios.md), not from a server. */

export const native = !location.protocol.startsWith('http');

/** The server the app was built for; the user may enter another. */
export const builtFor = document.querySelector('meta[name="moat-server"]')?.getAttribute('content') ?? '';
