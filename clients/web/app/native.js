/** Whether this page is the app's own, from inside a shell such as Capacitor's (docs/guides/ios.md), and not a server's. */

export const native = !location.protocol.startsWith('http');

/** The server the app was built for; a person may name another. */
export const builtFor = document.querySelector('meta[name="moat-server"]')?.getAttribute('content') ?? '';
