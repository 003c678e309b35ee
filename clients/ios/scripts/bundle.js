/**
 * Assemble www/ from the web client: the same files, byte for byte, and its page with relative addresses and its own
 * policy. Run `npm run bundle`, or `npm run sync` to copy it into the Xcode project too. Nothing here is committed.
 */

import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, extname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serverAddress } from '../../web/sdk/account.js';

const home = join(dirname(fileURLToPath(import.meta.url)), '..');
const web = join(home, '../web');
const target = join(home, 'www');
/** The file types a server serves from the client (config/web.py). The service worker belongs to the server. */
const SERVED = new Set(['.js', '.mjs', '.wasm', '.css', '.svg', '.png', '.webmanifest']);
const WORKER = join(web, 'app/sw.js');
/** As strict as the server’s policy, but for a server that is elsewhere and chosen later. Plain http is local only. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self' data:",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  [
    "connect-src 'self' https: wss:",
    ...['localhost', '127.0.0.1'].flatMap((host) => [`http://${host}:*`, `ws://${host}:*`]),
  ].join(' '),
].join('; ');

/**
 * Return the client’s page for the app.
 * @param {string} server the address it is built for, or an empty string
 */
function page(server) {
  const meta = [
    `<meta http-equiv="Content-Security-Policy" content="${POLICY}">`,
    ...(server ? [`<meta name="moat-server" content="${server}">`] : []),
  ];
  return readFileSync(join(web, 'app/index.html'), 'utf8')
    .replace('<meta charset="utf-8">', `<meta charset="utf-8">\n  ${meta.join('\n  ')}`)
    .replace(/\n *<link rel="manifest"[^>]*>/, '')
    .replaceAll('="./', '="./app/');
}

function bundle() {
  if (!existsSync(join(web, 'sdk/vendor/sqlite3/sqlite3.wasm')))
    throw new Error('The web client is not built. Run `npm ci && npm run build` in clients/web.');
  const { server } = JSON.parse(readFileSync(join(home, 'moat.config.json'), 'utf8'));
  const html = page(server ? serverAddress(server) : '');
  rmSync(target, { recursive: true, force: true });
  let count = 0;
  for (const part of ['app', 'sdk']) {
    for (const entry of readdirSync(join(web, part), { recursive: true, withFileTypes: true })) {
      const source = join(entry.parentPath, entry.name);
      if (!entry.isFile() || !SERVED.has(extname(entry.name)) || source === WORKER) continue;
      const place = join(target, relative(web, source));
      mkdirSync(dirname(place), { recursive: true });
      copyFileSync(source, place);
      count++;
    }
  }
  writeFileSync(join(target, 'index.html'), html);
  return count;
}

console.log(`Wrote the page and ${bundle()} files of the web client to www/.`);
