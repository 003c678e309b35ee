/** The catalogue holds every message of the SDK, and its style holds in messages and comments. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'acorn';
import { words } from '../../sdk/words.js';
import { readModules } from '../../scripts/walls.js';

const HOME = fileURLToPath(new URL('../..', import.meta.url));
const sdk = [...readModules(HOME)].filter(([path]) => path.startsWith('sdk/'));
const BANNED = /\b(told|hears?|heard|news|whoever|nobody|somebody|anew|let go of|any more|by now|beside|of itself)\b/i;

/** Each message with its parameters filled in. */
const messages = Object.entries(words).map(([name, text]) => [
  name,
  typeof text === 'function' ? text(['a'], 'b') : text,
]);

test('errors of the SDK take their message from the catalogue', () => {
  for (const [path, source] of sdk) {
    assert.doesNotMatch(source, /new MoatError\(\s*'\w+',\s*['"`]/, path);
    assert.doesNotMatch(source, /new (Type|Range)?Error\(\s*['"][a-z]/, path);
  }
});

test('every message of the catalogue is used', () => {
  const used = new Set(sdk.flatMap(([, source]) => [...source.matchAll(/\bwords\.(\w+)/g)].map(([, name]) => name)));
  assert.deepEqual(Object.keys(words).filter((name) => !used.has(name)), []);
});

test('messages use typographic quotes and none of the banned words', () => {
  for (const [name, text] of messages) {
    assert.equal(typeof text, 'string', name);
    assert.doesNotMatch(text, BANNED, name);
    assert.doesNotMatch(text, /\w'\w|\s…|undefined/, name);
  }
});

test('comments of the SDK and its tests use none of the banned words', () => {
  const tests = [
    'damage',
    'engine',
    'leader',
    'listing',
    'login',
    'engine-states',
    'pushing',
    'queue',
    'replica',
    'snapshot',
    'walls',
  ].map((name) => [`tests/sdk/${name}.test.js`, readFileSync(`${HOME}/tests/sdk/${name}.test.js`, 'utf8')]);
  for (const [path, source] of [...sdk, ...tests]) {
    /** @type {any[]} */
    const comments = [];
    parse(source, { ecmaVersion: 'latest', sourceType: 'module', onComment: comments });
    for (const { value } of comments) assert.doesNotMatch(value, BANNED, path);
  }
});

test('an unknown kind of field and each known one have a message of their own', () => {
  assert.equal(words.badValue('Due', 'date'), 'Due: must be a date (YYYY-MM-DD)');
  assert.equal(words.badValue('Due', 'later'), 'Due: unknown field kind');
});
