/**
 * Draw the app’s icon and launch images from the web client’s icon and colours. Run `npm run icons` after either
 * changed. It needs Chromium (set CHROMIUM to its path). The output is committed, so a Mac does not need this script.
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const home = join(dirname(fileURLToPath(import.meta.url)), '..');
const assets = join(home, 'ios/App/App/Assets.xcassets');
const logo = readFileSync(join(home, '../web/app/icons/icon.svg'), 'utf8');
/** iOS rounds the corners itself and allows no transparency. */
const square = logo.replace(/ rx="[^"]*"/, '');
const [light, dark] =
  readFileSync(join(home, '../web/app/styles/tokens.css'), 'utf8').match(/(?<=--ground: )#[0-9a-f]{6}/g) ?? [];
if (square === logo || !light || !dark)
  throw new Error('This script cannot read the icon or the colours of the web client.');

/**
 * @param {string} file
 * @param {number} size edge of the square image
 * @param {string} svg
 * @param {number} width width of the drawing in its middle
 * @param {string} background
 */
function draw(file, size, svg, width, background) {
  const work = mkdtempSync(join(tmpdir(), 'moat-icons-'));
  const page = join(work, 'page.html');
  const styles = [
    `html,body{margin:0;height:100%;background:${background}}`,
    'body{display:grid;place-items:center}',
    `svg{display:block;width:${width}px}`,
  ];
  writeFileSync(page, `<!doctype html><style>${styles.join('')}</style>${svg}`);
  const options = [
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--hide-scrollbars',
    '--force-device-scale-factor=1',
    `--user-data-dir=${work}/profile`,
    `--window-size=${size},${size}`,
  ];
  execFileSync(
    process.env.CHROMIUM ?? 'chromium',
    [...options, `--screenshot=${join(assets, file)}`, `file://${page}`],
    { stdio: 'ignore' },
  );
  rmSync(work, { recursive: true, force: true });
}

draw('AppIcon.appiconset/AppIcon.png', 1024, square, 1024, '#000');
draw('Splash.imageset/splash.png', 2732, logo, 420, light);
draw('Splash.imageset/splash-dark.png', 2732, logo, 420, dark);
