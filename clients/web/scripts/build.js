/** Copies what npm brought to where static files are served from: `npm run build`. Nothing it writes is committed. */

import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const home = join(dirname(fileURLToPath(import.meta.url)), '..');
const source = join(home, 'node_modules/@sqlite.org/sqlite-wasm');
const target = join(home, 'sdk/vendor/sqlite3');

mkdirSync(target, { recursive: true });
for (const file of ['index.mjs', 'index.d.mts', 'sqlite3.wasm'])
  copyFileSync(join(source, 'dist', file), join(target, file));
const { version } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'));
writeFileSync(join(target, 'VERSION'), `${version}\n`);
