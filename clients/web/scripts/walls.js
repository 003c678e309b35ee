/**
 * Check the boundaries between the modules of the web client: `npm run check`, or `node scripts/walls.js [folder]`.
 *
 * 1. A module of the SDK names only the host APIs that HOST grants it. `page.js` alone may touch the document.
 * 2. A pure module (its head comment starts with "Pure:") computes: it imports pure modules only and reads no clock, no
 *    randomness, no storage, and no network.
 * 3. The SDK imports nothing of the application, and the application reaches the SDK through `sdk/index.js` only, for
 *    types too.
 */

import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'acorn';

/** Globals of ECMAScript: every module may use them. `globalThis` is not among them: it leads to everything else. */
const LANGUAGE = new Set(`
  undefined NaN Infinity Object Function Array String Number Boolean BigInt Symbol Math JSON Date RegExp Promise Proxy
  Reflect Map Set WeakMap WeakSet Error TypeError RangeError AggregateError ArrayBuffer DataView Uint8Array Uint32Array
  Int32Array Float64Array isNaN isFinite parseInt parseFloat encodeURIComponent decodeURIComponent arguments
`.trim().split(/\s+/));

/** Host APIs that only compute: also for pure modules. */
const COMPUTING = new Set(['TextEncoder', 'TextDecoder', 'structuredClone', 'WebAssembly']);

const TIMERS = ['setTimeout', 'clearTimeout'];

/** The host APIs each module of the SDK may use beyond those, and what for. */
export const HOST = {
  'account.js': ['fetch', 'AbortSignal', 'URL', 'URLSearchParams'], // HTTP calls of the account
  'ids.js': ['crypto'], // random bits of a UUID
  'index.js': ['Worker', 'URL', 'navigator'], // the page side: starts the worker, asks for persistent storage
  'installing.js': ['performance'], // how long a snapshot took, for diagnostics
  'leader.js': [...TIMERS, 'performance', 'AbortController'], // performs the engine's effects
  'listing.js': [...TIMERS, 'performance', 'MessageChannel'], // works in slices
  'lists.js': TIMERS, // waits for the owners of lists
  'page.js': ['document', 'location', 'addEventListener', 'removeEventListener'], // the page's lifecycle
  'snapshot.js': ['fetch', 'setTimeout', 'crypto', 'Blob', 'Response', 'DecompressionStream'], // downloads parts
  'socket.js': ['WebSocket'],
  'tab.js': ['crypto', 'BroadcastChannel', 'navigator'], // Web Lock and messages between tabs
  'timers.js': TIMERS, // the engine's timers
  'worker.js': ['self'],
  'storage/blocks.js': ['IDBKeyRange', 'indexedDB', 'DOMException'],
  'storage/choose.js': ['navigator', 'indexedDB'],
  'storage/mirror.js': ['performance'],
  'storage/opfs.js': ['setTimeout', 'DOMException'],
  'storage/parts.js': ['indexedDB'],
};

/** Members that make a pure module impure. */
const IMPURE_MEMBERS = new Set(['Date.now', 'Math.random']);

/** @typedef {Record<string, any> & {type: string}} Node */
/** @typedef {{pure: boolean, globals: Set<string>, imports: string[], types: string[], impure: string[]}} Module */

/**
 * Say whether a module claims to be pure, in whatever spelling: a mark that is not recognized would be no contract.
 * @param {string} source
 */
export const isPure = (source) => /^\/\*\*[\s*]*pure\b/i.test(source);

/**
 * Return what a module names and imports.
 * @param {string} source
 * @returns {Module}
 */
export function inspect(source) {
  /** @type {Module} */
  const module = { pure: isPure(source), globals: new Set(), imports: [], types: [], impure: [] };
  const comments = /** @type {any[]} */ ([]);
  const tree = parse(source, { ecmaVersion: 'latest', sourceType: 'module', onComment: comments });
  for (const { value } of comments) {
    for (const [, from] of value.matchAll(/import\(['"]([^'"]+)['"]\)/g)) module.types.push(from);
  }
  new Scopes(module).visit(/** @type {any} */ (tree));
  return module;
}

/** Walks a syntax tree and resolves names, to find those that are global. */
class Scopes {
  /** @type {Set<string>[]} innermost last */
  #scopes = [];

  /** @param {Module} module */
  constructor(module) {
    this.module = module;
  }

  /** @param {Node | null | undefined} node */
  visit(node) {
    if (!node) return;
    const special = /** @type {any} */ (this)[node.type];
    if (special) special.call(this, node);
    else this.#children(node);
  }

  /** @param {Node} node */
  #children(node) {
    for (const value of Object.values(node)) {
      for (const child of Array.isArray(value) ? value : [value])
        if (child && typeof child.type === 'string') this.visit(child);
    }
  }

  /**
   * @param {Iterable<string>} names
   * @param {() => void} work
   */
  #within(names, work) {
    this.#scopes.push(new Set(names));
    work();
    this.#scopes.pop();
  }

  /** @param {Node} node */
  Program(node) {
    this.#within([...declared(node.body), ...hoisted(node)], () => this.#children(node));
  }

  /** @param {Node} node */
  BlockStatement(node) {
    this.#within(declared(node.body), () => this.#children(node));
  }

  /** @param {Node} node */
  StaticBlock(node) {
    this.BlockStatement(node);
  }

  /** @param {Node} node */
  SwitchStatement(node) {
    this.#within(declared(node.cases.flatMap((/** @type {Node} */ one) => one.consequent)), () => this.#children(node));
  }

  /** @param {Node} node */
  #loop(node) {
    const head = node.type === 'ForStatement' ? node.init : node.left;
    this.#within(head?.type === 'VariableDeclaration' ? declared([head]) : [], () => this.#children(node));
  }

  /** @param {Node} node */
  ForStatement(node) { this.#loop(node); }
  /** @param {Node} node */
  ForOfStatement(node) { this.#loop(node); }
  /** @param {Node} node */
  ForInStatement(node) { this.#loop(node); }

  /** @param {Node} node */
  CatchClause(node) {
    this.#within(bound(node.param), () => this.#children(node));
  }

  /** @param {Node} node */
  #function(node) {
    const own = node.id ? [node.id.name] : [];
    this.#within([...own, ...node.params.flatMap(bound), ...hoisted(node.body)], () => this.#children(node));
  }

  /** @param {Node} node */
  FunctionDeclaration(node) { this.#function(node); }
  /** @param {Node} node */
  FunctionExpression(node) { this.#function(node); }
  /** @param {Node} node */
  ArrowFunctionExpression(node) { this.#function(node); }

  /** @param {Node} node */
  ClassExpression(node) {
    this.#within(node.id ? [node.id.name] : [], () => this.#children(node));
  }

  /** @param {Node} node */
  Identifier({ name }) {
    if (!this.#scopes.some((scope) => scope.has(name))) this.module.globals.add(name);
  }

  /** @param {Node} node */
  MemberExpression(node) {
    const { object, property, computed } = node;
    const member = object.type === 'Identifier' && !computed ? `${object.name}.${property.name}` : '';
    if (IMPURE_MEMBERS.has(member)) this.module.impure.push(member);
    // `Math['random']` or a destructured `Math` would hide the member.
    if (object.type === 'Identifier' && computed && ['Math', 'Date'].includes(object.name))
      this.module.impure.push(object.name);
    this.visit(object);
    if (computed) this.visit(property);
  }

  /** @param {Node} node */
  VariableDeclarator(node) {
    if (node.init?.type === 'Identifier' && ['Math', 'Date'].includes(node.init.name))
      this.module.impure.push(node.init.name);
    this.#children(node);
  }

  /** @param {Node} node */
  CallExpression(node) {
    if (node.callee.name === 'Date') this.module.impure.push('Date()');
    this.#children(node);
  }

  /** @param {Node} node */
  NewExpression(node) {
    if (node.callee.name === 'Date' && !node.arguments.length) this.module.impure.push('new Date()');
    this.#children(node);
  }

  /** @param {Node} node */
  #keyed(node) {
    if (node.computed) this.visit(node.key);
    this.visit(node.value);
  }

  /** @param {Node} node */
  Property(node) { this.#keyed(node); }
  /** @param {Node} node */
  MethodDefinition(node) { this.#keyed(node); }
  /** @param {Node} node */
  PropertyDefinition(node) { this.#keyed(node); }

  /** @param {Node} node */
  ImportDeclaration(node) {
    this.module.imports.push(node.source.value);
  }

  /** @param {Node} node */
  ImportExpression(node) {
    this.module.imports.push(node.source.type === 'Literal' ? node.source.value : '(computed)');
    this.#children(node);
  }

  /** @param {Node} node */
  ExportAllDeclaration(node) {
    this.module.imports.push(node.source.value);
  }

  /** @param {Node} node */
  ExportNamedDeclaration(node) {
    if (node.source) this.module.imports.push(node.source.value);
    else this.visit(node.declaration);
  }

  LabeledStatement(/** @type {Node} */ node) { this.visit(node.body); }
  BreakStatement() {}
  ContinueStatement() {}
  MetaProperty() {}
}

/**
 * Return the names a pattern binds.
 * @param {Node | null} pattern
 * @returns {string[]}
 */
function bound(pattern) {
  switch (pattern?.type) {
    case 'Identifier':
      return [pattern.name];
    case 'ObjectPattern':
      return pattern.properties.flatMap((/** @type {Node} */ one) => bound(one.value ?? one.argument));
    case 'ArrayPattern':
      return pattern.elements.flatMap(bound);
    case 'AssignmentPattern':
      return bound(pattern.left);
    case 'RestElement':
      return bound(pattern.argument);
    default:
      return [];
  }
}

/**
 * Return the names that statements of one block declare.
 * @param {Node[]} statements
 * @returns {string[]}
 */
function declared(statements) {
  return statements.flatMap((statement) => {
    const one = statement.type.startsWith('Export') ? statement.declaration ?? statement : statement;
    if (one.type === 'VariableDeclaration')
      return one.declarations.flatMap((/** @type {Node} */ each) => bound(each.id));
    if (one.type === 'FunctionDeclaration' || one.type === 'ClassDeclaration') return one.id ? [one.id.name] : [];
    if (one.type === 'ImportDeclaration') return one.specifiers.map((/** @type {Node} */ each) => each.local.name);
    return [];
  });
}

/**
 * Return the names that `var` declares anywhere in a function.
 * @param {Node} node
 * @returns {string[]}
 */
function hoisted(node) {
  if (/^(Function|ArrowFunction|Class)/.test(node.type)) return [];
  const own = node.type === 'VariableDeclaration' && node.kind === 'var' ? declared([node]) : [];
  const children = Object.values(node).flat().filter((child) => child && typeof child.type === 'string');
  return [...own, ...children.flatMap(hoisted)];
}

/**
 * Return what is wrong with a set of modules.
 * @param {Map<string, string>} sources path (`sdk/…` or `app/…`) → text
 * @returns {string[]}
 */
export function problems(sources) {
  const modules = new Map([...sources].map(([path, source]) => [path, inspect(source)]));
  const missing = Object.keys(HOST)
    .filter((name) => !modules.has(`sdk/${name}`))
    .map((name) => `sdk/${name}: is in HOST and does not exist`);
  return [
    ...missing,
    ...[...modules].flatMap(([path, module]) =>
      path.startsWith('sdk/') ? sdkProblems(path, module, modules) : appProblems(path, module),
    ),
  ];
}

/**
 * @param {string} path
 * @param {Module} module
 * @param {Map<string, Module>} modules
 */
function sdkProblems(path, { pure, globals, imports, types, impure }, modules) {
  const found = [];
  const granted = new Set(/** @type {Record<string, string[]>} */ (HOST)[path.slice('sdk/'.length)] ?? []);
  for (const name of globals) {
    if (LANGUAGE.has(name) || COMPUTING.has(name) || granted.has(name)) continue;
    found.push(`${path}: ${name} is not granted to this module (see HOST in scripts/walls.js)`);
  }
  for (const name of granted) if (!globals.has(name)) found.push(`${path}: is granted ${name} and does not use it`);
  for (const from of [...imports, ...types].filter((one) => one.startsWith('.'))) {
    if (!resolve(path, from).startsWith('sdk/')) found.push(`${path}: imports ${from}, which is outside the SDK`);
  }
  if (!pure) return found;
  if (granted.size) found.push(`${path}: is pure, but HOST grants it ${[...granted].join(', ')}`);
  for (const name of impure) found.push(`${path}: is pure, but uses ${name}`);
  for (const from of imports) {
    if (!modules.get(resolve(path, from))?.pure) found.push(`${path}: is pure, but imports ${from}, which is not`);
  }
  return found;
}

/**
 * @param {string} path
 * @param {Module} module
 */
function appProblems(path, { imports, types }) {
  return [...imports, ...types].filter((from) => {
    const to = resolve(path, from);
    return to.startsWith('sdk/') && to !== 'sdk/index.js';
  }).map((from) => `${path}: imports ${from}; use sdk/index.js`);
}

const resolve = (/** @type {string} */ path, /** @type {string} */ from) => posix.join(posix.dirname(path), from);

/**
 * Read all modules of the SDK and the application.
 * @param {string} home folder of the web client
 * @returns {Map<string, string>}
 */
export function readModules(home) {
  const sources = new Map();
  for (const room of ['sdk', 'app']) {
    for (const entry of readdirSync(join(home, room), { recursive: true, withFileTypes: true })) {
      const path = relative(home, join(entry.parentPath, entry.name)).replaceAll('\\', '/');
      if (entry.isFile() && path.endsWith('.js') && !path.startsWith('sdk/vendor/'))
        sources.set(path, readFileSync(join(home, path), 'utf8'));
    }
  }
  return sources;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const home = process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '..');
  const found = problems(readModules(home));
  for (const problem of found) console.error(problem);
  process.exitCode = found.length ? 1 : 0;
}
