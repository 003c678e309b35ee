/** Every text that people read comes from the catalogue, and the catalogue keeps the house style. */

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { plural } from '../../app/words/plural.js';
import { words } from '../../app/words/index.js';

const APP = new URL('../../app/', import.meta.url);
/** The catalogue itself, and the service worker, which no module reaches. */
const EXEMPT = /^words\/|^sw\.js$/;
/** Names that only look like text: keys, JSON Forms elements, Intl options, browsers, systems, codes. */
const NAMES = new Set(
  (
    'ArrowDown ArrowUp ArrowLeft ArrowRight PageDown PageUp Home End Enter Escape SELECT SHOW HIDE ENABLE DISABLE ' +
    'VerticalLayout HorizontalLayout Group Categorization Category Label Control ' +
    'Android Mac Windows Linux Firefox Edge Chrome Safari SHA-256 login https://'
  ).split(' '),
);
/** What stands before a literal that ends up on the screen or in a screen reader. */
const SHOWN = new RegExp(
  [
    String.raw`\b(?:button|toast|ask|sheet|back|labelled|append|replaceChildren)\(`,
    String.raw`\b(?:title|placeholder|label|action|text)'?: `,
    String.raw`'aria-label'[:,] `,
    String.raw`\.textContent = `,
    String.raw`\}, `,
  ]
    .map((before) => `(?:${before})$`)
    .join('|'),
);
/** What stands before one that does not: names of classes, SQL, keys of storage, and comparisons. */
const HIDDEN = /(?:\bclass(?:Name)?: |className = |\bsql: |setAttribute\('\w+', |=== |case |`)$/;

/**
 * Return the string literals of a module: their text, a template's parts joined by “…”, and the code before each.
 * @param {string} source
 * @returns {{text: string, before: string}[]}
 */
function literals(source) {
  /** @type {{text: string, before: string}[]} */
  const found = [];
  let at = 0;
  const before = () =>
    source
      .slice(Math.max(0, at - 40), at)
      .replaceAll(/\s+/g, ' ')
      .replace(/\( $/, '(');
  const regexMayStart = () => /(?:^|[(,=:[!&|?{};]|=>|return)\s*$/.test(source.slice(Math.max(0, at - 20), at));
  const endOf = (/** @type {string} */ mark) => {
    const end = source.indexOf(mark, at);
    return end < 0 ? source.length : end;
  };
  const template = () => {
    const entry = { text: '', before: before() };
    found.push(entry);
    for (at += 1; at < source.length && source[at] !== '`'; at += 1) {
      if (source[at] === '\\') at += 1;
      else if (source.startsWith('${', at)) {
        entry.text += '…';
        at += 2;
        code('}');
      } else entry.text += source[at];
    }
  };
  /** @param {string} end */
  const code = (end) => {
    for (let depth = 0; at < source.length; at += 1) {
      const char = source[at];
      if (char === end && !depth) return;
      if (char === '{') depth += 1;
      else if (char === '}') depth -= 1;
      else if (source.startsWith('//', at)) at = endOf('\n');
      else if (source.startsWith('/*', at)) at = endOf('*/') + 1;
      else if (char === '/' && regexMayStart())
        at += /** @type {RegExpExecArray} */ (/^\/(?:\\.|\[(?:\\.|[^\]])*\]|[^/])+/.exec(source.slice(at)))[0].length;
      else if (char === '`') template();
      else if (char === "'" || char === '"') {
        const [whole] = /** @type {RegExpExecArray} */ (/^(['"])(?:\\.|(?!\1).)*\1/.exec(source.slice(at)));
        found.push({ text: whole.slice(1, -1), before: before() });
        at += whole.length - 1;
      }
    }
  };
  code('');
  return found;
}

/**
 * Return the texts of a module that people would read.
 * @param {string} source
 */
function shownTexts(source) {
  const code = source.replaceAll(/^(?:import|export) .*? from '.*';$/gm, '');
  return literals(code)
    .filter(({ text, before }) => {
      if (NAMES.has(text) || !/\p{L}{2}/u.test(text)) return false;
      if (SHOWN.test(before)) return true;
      return !HIDDEN.test(before) && (/^\p{Lu}\p{Ll}/u.test(text) || /\p{L}{2} \p{Ll}+[.!?…]$/u.test(text));
    })
    .map(({ text }) => text);
}

/**
 * Return every message of the catalogue, functions called with samples.
 * @param {any} value
 * @param {string} path
 * @returns {[string, string][]}
 */
function messages(value, path = '') {
  if (typeof value === 'string') return [[path, value]];
  if (typeof value === 'object') return Object.entries(value).flatMap(([key, one]) => messages(one, `${path}.${key}`));
  return typeof value === 'function' ? [1, 2].flatMap((count) => messages(call(value, count), path)) : [];
}

/**
 * @param {Function} message
 * @param {number} count
 */
const call = (message, count) => {
  try {
    return message(count, count, count);
  } catch {
    return message('Sample', 'sample', ['field']);
  }
};

test('no text that people read stands outside the catalogue', () => {
  const files = readdirSync(APP, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.js') && !EXEMPT.test(name));
  assert.ok(files.length > 40);
  const found = files.flatMap((name) =>
    shownTexts(readFileSync(new URL(name, APP), 'utf8')).map((text) => `${name}: ${text}`),
  );
  assert.deepEqual(found, []);
});

test('the search for such texts finds them', () => {
  for (const [source, expected] of /** @type {[string, string[]][]} */ ([
    [`button(\n  'undo the last',\n  act,\n)`, ['undo the last']],
    [`button('save', () => {})`, ['save']],
    [`h('p', { class: 'soft' }, 'nothing yet')`, ['nothing yet']],
    [`h('input', { type: 'search', 'aria-label': 'find', placeholder: 'all of it' })`, ['find', 'all of it']],
    ['toast(`${label} saved`)', ['… saved']],
    [`const why = { network: 'Not reached' };`, ['Not reached']],
    [`note.textContent = done ? '' : 'it waits for you.'`, ['it waits for you.']],
    [`if (/['"]/.test(a)) label = 'Open'; // 'Not this'`, ['Open']],
    [`h('div', { class: 'filter row' }); sql = 'SELECT id'; if (event.key === 'Enter') go('#/outbox');`, []],
  ]))
    assert.deepEqual(shownTexts(source), expected, source);
});

test('messages keep the house style', () => {
  const all = messages(words);
  assert.ok(all.length > 300);
  for (const [path, text] of all) {
    assert.doesNotMatch(text, /['"]|\.\.\.| […%]/, `${path}: typography: ${text}`);
    assert.doesNotMatch(text, /\b(?:log(?:ged)? (?:in|out)|anew|any more|whoever|nobody|told)\b/i, `${path}: ${text}`);
    if (/Title$/.test(path)) continue;
    assert.doesNotMatch(
      text,
      /\b1 (?:edits|records|changes)\b|\b2 (?:edit|record|change)\b/,
      `${path}: plural: ${text}`,
    );
  }
});

test('a count takes the form its language asks for', () => {
  const forms = { one: '# edit', other: '# edits' };
  assert.deepEqual(
    [0, 1, 2].map((count) => plural(count, forms)),
    ['0 edits', '1 edit', '2 edits'],
  );
  assert.equal(plural(5, { one: 'a', other: 'b' }), 'b');
});
