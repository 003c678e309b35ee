/**
 * Mutation testing of the client core: `npm run mutants [-- --minutes 10 --jobs 2 --only fold.js --skip 100]`.
 *
 * Each mutant is one small change of a module: a condition that is always true or false, an operator swapped, a call
 * removed. The tests named for the module run against it; a mutant that no test fails for survives. Survivors that
 * cannot be observed are explained in `mutants-explained.json`; any other makes the command fail.
 *
 * Mutants are tried in a fixed order that is spread over all modules, until the time is up.
 */

import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parse } from 'acorn';

const HOME = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Modules under test, and the tests that must notice a change. */
const TARGETS = {
  'sdk/fold.js': ['fold', 'vectors', 'replica'],
  'sdk/overlay.js': ['fold', 'vectors', 'replica'],
  'sdk/overlays.js': ['queue', 'replica', 'damage'],
  'sdk/pushing.js': ['pushing', 'engine'],
  'sdk/engine.js': ['engine', 'engine-states'],
};

const SWAPS = /** @type {Record<string, string>} */ ({
  '===': '!==', '!==': '===', '<': '<=', '<=': '<', '>': '>=', '>=': '>', '+': '-', '-': '+', '*': '/', '/': '*',
  '&&': '||', '||': '&&',
});
const TIMEOUT_MS = 30_000;

/** @typedef {{start: number, end: number, text: string}} Change */
/** @typedef {{file: string, line: number, from: string, to: string, source: string}} Mutant */

/**
 * Return the changes to try on a syntax tree.
 * @param {any} node
 * @param {string} source
 * @returns {Generator<Change>}
 */
function* changes(node, source) {
  const text = (/** @type {any} */ one) => source.slice(one.start, one.end);
  const always = function* (/** @type {any} */ test) {
    for (const value of ['true', 'false']) yield { start: test.start, end: test.end, text: value };
  };
  switch (node.type) {
    case 'IfStatement':
    case 'ConditionalExpression':
      yield* always(node.test);
      break;
    case 'BinaryExpression':
    case 'LogicalExpression':
      if (SWAPS[node.operator]) {
        yield { ...spot(node), text: `${text(node.left)} ${SWAPS[node.operator]} ${text(node.right)}` };
      }
      if (node.operator === '??') yield { ...spot(node), text: text(node.left) };
      break;
    case 'UnaryExpression':
      if (node.operator === '!') yield { ...spot(node), text: text(node.argument) };
      break;
    case 'ExpressionStatement':
      if (node.expression.type !== 'Literal') yield { ...spot(node), text: ';' };
      break;
    case 'ReturnStatement':
      if (node.argument?.type === 'CallExpression') yield { ...spot(node), text: 'return;' };
      break;
    case 'Literal':
      if (typeof node.value === 'boolean') yield { ...spot(node), text: String(!node.value) };
      else if (typeof node.value === 'number') yield { ...spot(node), text: String(node.value + 1) };
      break;
    default:
  }
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (child && typeof child.type === 'string') yield* changes(child, source);
    }
  }
}

const spot = (/** @type {any} */ { start, end }) => ({ start, end });

/**
 * Return all mutants of a module.
 * @param {string} file
 * @returns {Mutant[]}
 */
function mutantsOf(file) {
  const source = readFileSync(join(HOME, file), 'utf8');
  const tree = parse(source, { ecmaVersion: 'latest', sourceType: 'module' });
  return [...changes(tree, source)].map(({ start, end, text }) => ({
    file,
    line: source.slice(0, start).split('\n').length,
    from: source.slice(start, end),
    to: text,
    source: source.slice(0, start) + text + source.slice(end),
  }));
}

/**
 * Return the lists' items in turns, so that any prefix covers all lists.
 * @template T
 * @param {T[][]} lists
 * @returns {T[]}
 */
function interleaved(lists) {
  const spread = lists.flatMap((list) => list.map((item, i) => ({ item, at: (i + 1) / (list.length + 1) })));
  // Neighbours in a module tend to be alike: a stride takes them apart.
  const order = spread.sort((a, b) => a.at - b.at).map(({ item }) => item);
  const stride = 7;
  return Array.from({ length: stride }, (_, from) => order.filter((_item, i) => i % stride === from)).flat();
}

/** A copy of the client that mutants are written to. */
class Bench {
  constructor() {
    this.root = mkdtempSync(join(tmpdir(), 'mutants-'));
    this.home = join(this.root, 'web');
    for (const room of ['sdk', 'tests', 'scripts', 'package.json']) {
      cpSync(join(HOME, room), join(this.home, room), { recursive: true });
    }
    symlinkSync(join(HOME, 'node_modules'), join(this.home, 'node_modules'));
    cpSync(join(HOME, '../vectors'), join(this.root, 'vectors'), { recursive: true });
  }

  /**
   * Return whether a test fails for the mutant.
   * @param {Mutant} mutant
   */
  async kills({ file, source }) {
    const original = readFileSync(join(this.home, file), 'utf8');
    writeFileSync(join(this.home, file), source);
    try {
      const tests = /** @type {Record<string, string[]>} */ (TARGETS)[file].map((name) => `tests/sdk/${name}.test.js`);
      for (const test of tests) if (!(await this.passes(test))) return true;
      return false;
    } finally {
      writeFileSync(join(this.home, file), original);
    }
  }

  /**
   * Run one test file; stop at its first failure.
   * @param {string} test
   * @returns {Promise<boolean>}
   */
  passes(test) {
    return new Promise((resolve) => {
      const child = spawn(process.execPath, ['--test-reporter=tap', test], {
        cwd: this.home,
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS);
      child.stdout.on('data', (data) => {
        if (/^not ok/m.test(String(data))) child.kill('SIGKILL');
      });
      child.on('close', (code) => {
        clearTimeout(timer);
        resolve(code === 0);
      });
    });
  }

  remove() {
    rmSync(this.root, { recursive: true });
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '10' },
      jobs: { type: 'string', default: '2' },
      only: { type: 'string', default: '' },
      skip: { type: 'string', default: '0' },
      json: { type: 'boolean', default: false },
    },
  });
  const files = Object.keys(TARGETS).filter((file) => file.endsWith(values.only));
  const queue = interleaved(files.map(mutantsOf)).slice(Number(values.skip));
  const total = queue.length, until = Date.now() + Number(values.minutes) * 60_000;
  /** @type {{file: string, from: string, to: string, why: string}[]} */
  const explained = JSON.parse(readFileSync(join(HOME, 'scripts/mutants-explained.json'), 'utf8'));
  const why = (/** @type {Mutant} */ { file, from, to }) =>
    explained.find((one) => one.file === file && one.from === from && one.to === to)?.why;
  const counts = { killed: 0, explained: 0 };
  /** @type {Mutant[]} */
  const survivors = [];
  const work = async () => {
    const bench = new Bench();
    try {
      for (const test of new Set(files.flatMap((file) => /** @type {Record<string, string[]>} */ (TARGETS)[file]))) {
        if (!(await bench.passes(`tests/sdk/${test}.test.js`)))
          throw new Error(`${test}.test.js fails without a mutant`);
      }
      for (let mutant = queue.shift(); mutant && Date.now() < until; mutant = queue.shift()) {
        if (await bench.kills(mutant)) counts.killed++;
        else if (why(mutant)) counts.explained++;
        else {
          survivors.push(mutant);
          if (!values.json) console.log(described(mutant));
        }
      }
    } finally {
      bench.remove();
    }
  };
  await Promise.all(Array.from({ length: Number(values.jobs) }, work));
  report({ total, ...counts, survivors }, values.json);
  process.exitCode = survivors.length ? 1 : 0;
}

/** @param {Mutant} mutant */
const described = ({ file, line, from, to }) => `${file}:${line}\n  - ${from}\n  + ${to}`;

/**
 * @param {{total: number, killed: number, explained: number, survivors: Mutant[]}} result
 * @param {boolean} json
 */
function report({ total, killed, explained, survivors }, json) {
  const tried = killed + explained + survivors.length;
  const short = survivors
    .map(({ file, line, from, to }) => ({ file, line, from, to }))
    .sort((a, b) => a.file.localeCompare(b.file) || a.line - b.line);
  if (json) return console.log(JSON.stringify({ total, tried, killed, explained, survivors: short }));
  console.log(
    `${killed} of ${tried} mutants killed, ${explained} explained, ${short.length} survived; ` +
      `${total - tried} not tried`,
  );
  return undefined;
}

await main();
