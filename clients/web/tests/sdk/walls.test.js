/** The walls between modules hold, and scripts/walls.js reports each way to break them. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inspect, isPure, problems, readModules } from '../../scripts/walls.js';

const HOME = fileURLToPath(new URL('../..', import.meta.url));
const modules = readModules(HOME);

/** The core must stay pure: without this list, deleting the mark would take a module out of the contract. */
const CORE = `
  access backoff canonical chain connection ddl digest engine errors fold likeness lines overlay patch pushing
  repairing revisions schema sha256 sha256wasm sorting types values verify watching words
`.trim().split(/\s+/);

/** Problems of the client after adding a line to one module. */
const broken = (path, line) => problems(new Map([...modules, [path, `${modules.get(path)}\n${line}\n`]]));

test('the client keeps to its walls', () => {
  assert.ok(modules.size > 60);
  assert.deepEqual(problems(modules), []);
});

test('every module of the core is marked as pure, and every mark is recognized', () => {
  const marked = [...modules]
    .filter(([path, source]) => path.startsWith('sdk/') && isPure(source))
    .map(([path]) => path);
  assert.deepEqual(marked.sort(), CORE.map((name) => `sdk/${name}.js`).sort());
  for (const [path, source] of modules) {
    const head = /^\/\*\*[^]*?\*\//.exec(source)?.[0] ?? '';
    if (path.startsWith('sdk/') && /\bpure\b/i.test(head))
      assert.ok(isPure(source), `${path} mentions "pure" without the mark`);
  }
});

const FORBIDDEN = [
  // The SDK knows no DOM.
  ['sdk/engine.js', 'document.title;', 'document'],
  ['sdk/index.js', 'export const width = () => window.innerWidth;', 'window'],
  ['sdk/list.js', 'export const is = (/** @type {any} */ x) => x instanceof HTMLElement;', 'HTMLElement'],
  ['sdk/leader.js', "localStorage.setItem('a', 'b');", 'localStorage'],
  ['sdk/reading.js', 'export const page = { address: location.href };', 'location'],
  ['sdk/writing.js', 'if (globalThis.x) throw 1;', 'globalThis'],
  ['sdk/overlays.js', 'export function f(document) { return document; }\ndocument.title;', 'document'],
  ['sdk/storage/memory.js', 'const { title } = document; export { title };', 'document'],
  ['sdk/page.js', 'alert(1);', 'alert'],
  // A host API needs a grant.
  ['sdk/overlays.js', 'setTimeout(() => {}, 1);', 'setTimeout'],
  ['sdk/replica.js', 'export const get = () => fetch("/");', 'fetch'],
  // Pure modules compute.
  ['sdk/fold.js', "import { Sql } from './sql.js'; new Sql();", './sql.js'],
  ['sdk/engine.js', "import { Socket } from './socket.js'; new Socket();", './socket.js'],
  ['sdk/overlay.js', "import { uuid7 } from './ids.js'; uuid7();", './ids.js'],
  ['sdk/pushing.js', "export * from './storage/opfs.js';", './storage/opfs.js'],
  ['sdk/verify.js', "export const later = () => import('./leader.js');", './leader.js'],
  ['sdk/patch.js', "import { readFileSync } from 'node:fs'; readFileSync('x');", 'node:fs'],
  ['sdk/connection.js', 'export const now = () => Date.now();', 'Date.now'],
  ['sdk/engine.js', 'export const today = () => new Date();', 'new Date()'],
  ['sdk/engine.js', 'export const today = () => Date();', 'Date()'],
  ['sdk/backoff.js', 'export const draw = () => Math.random();', 'Math.random'],
  ['sdk/backoff.js', "export const draw = () => Math['random']();", 'Math'],
  ['sdk/backoff.js', 'const { random } = Math; random();', 'Math'],
  ['sdk/revisions.js', 'export const id = () => crypto.randomUUID();', 'crypto'],
  ['sdk/digest.js', 'export const at = () => performance.now();', 'performance'],
  // The application goes through sdk/index.js, and the SDK knows no application.
  ['app/app.js', "import { Leader } from '../sdk/leader.js'; new Leader();", '../sdk/leader.js'],
  ['app/lists/query.js', "export { containing } from '../../sdk/likeness.js';", '../../sdk/likeness.js'],
  ['app/views/list.js', "/** @typedef {import('../../sdk/types.js').Field} Field */", '../../sdk/types.js'],
  ['app/main.js', "void import('../sdk/worker.js');", '../sdk/worker.js'],
  ['sdk/index.js', "import '../app/main.js';", '../app/main.js'],
  ['sdk/types.js', "/** @typedef {import('../app/app.js').App} App */", '../app/app.js'],
];

for (const [path, line, named] of FORBIDDEN) {
  test(`${path} must not contain ${line.split('\n')[0]}`, () => {
    const found = broken(path, line);
    assert.equal(found.length, 1, found.join('\n'));
    assert.ok(found[0].startsWith(`${path}: `) && found[0].includes(named), found[0]);
  });
}

test('a grant that no module uses, or for a pure module, is reported', () => {
  const without = new Map(modules);
  without.set('sdk/socket.js', '/** A socket. */\n');
  assert.deepEqual(problems(without).filter((one) => one.startsWith('sdk/socket.js')), [
    'sdk/socket.js: is granted WebSocket and does not use it',
  ]);
  without.set('sdk/socket.js', '/** Pure: a socket. */\nexport const open = () => new WebSocket("ws:");\n');
  assert.ok(problems(without).includes('sdk/socket.js: is pure, but HOST grants it WebSocket'));
  without.delete('sdk/ids.js');
  assert.ok(problems(without).includes('sdk/ids.js: is in HOST and does not exist'));
});

test('names are resolved by scope: a parameter, a local, a key, and a label are not globals', () => {
  const { globals } = inspect(`
    import name, { status as state } from './x.js';
    import * as all from './y.js';
    label: for (const top of [name, state, all]) { if (top) break label; else continue label; }
    export function f({ event: close, ...rest }, [open = 1], parent = open) {
      try { var print = close; } catch (confirm) { return { stop: confirm, history() { return print; } }; }
      switch (rest) { case 1: { let find = 2; return find; } default: return parent; }
    }
    export class C {
      frames = 1; #self = 2;
      static { let focus = 1; void focus; }
      scroll() { return this.frames.length + this.#self; }
    }
    export const g = function blur() { return blur; }, h = class Prompt { x = Prompt; };
    void import.meta.url;
  `);
  assert.deepEqual([...globals], []);
  assert.deepEqual([...inspect('{ let top = 1; void top; } top;').globals], ['top']);
  assert.deepEqual([...inspect('export const { [key]: a = other } = source;').globals].sort(), [
    'key',
    'other',
    'source',
  ]);
});

test('the script fails for a broken copy and passes for a clean one', () => {
  const copy = mkdtempSync(join(tmpdir(), 'walls-'));
  const script = join(HOME, 'scripts/walls.js');
  const run = () => execFileSync(process.execPath, [script, copy], { stdio: 'pipe' });
  try {
    for (const room of ['sdk', 'app']) {
      cpSync(join(HOME, room), join(copy, room), { recursive: true, filter: (from) => !from.includes('vendor') });
    }
    run();
    const engine = join(copy, 'sdk/engine.js');
    writeFileSync(engine, `${readFileSync(engine, 'utf8')}\ndocument.title;\n`);
    assert.throws(run, (error) => error.status === 1 && String(error.stderr).includes('sdk/engine.js: document'));
  } finally {
    rmSync(copy, { recursive: true });
  }
});
