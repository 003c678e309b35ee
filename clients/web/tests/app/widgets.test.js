import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';

import './page.js';

import { Unparsed } from '../../app/forms/edit.js';
import { widget } from '../../app/ui/widgets.js';

/** A widget and the values it reported. Like a form, it shows what was typed. */
function made(kind, value = null) {
  const said = [];
  const references = { search: async () => [{ id: 'c1', title: 'Acme' }], title: async (_, id) => `Title of ${id}` };
  /** @type {any} */
  const one = widget(/** @type {any} */ ({ name: 'f', kind, label: 'F' }), {
    oninput: (typed) => {
      said.push(typed);
      one.show(typed);
    },
    references,
  });
  one.show(value);
  return { ...one, said };
}

test('a focused empty picker shows a value that arrives', async () => {
  const { input, show, said } = made('reference');
  input.focus();
  show('c2');
  await turn();
  assert.equal(input.value, 'Title of c2');
  input.blur();
  assert.deepEqual([said, input.value], [[], 'Title of c2']);
});

test('clearing a picker picks none; text being typed is left alone', async () => {
  const { input, show, said } = made('reference', 'c1');
  await turn();
  input.focus();
  input.enter('Ac');
  show('c2');
  await turn();
  assert.equal(input.value, 'Ac');
  input.enter('');
  input.blur();
  assert.deepEqual([said, input.value], [[null], '']);
});

test('JSON stays text while typed, and gets its shape afterwards', () => {
  const { element, input, show, said } = made('json');
  const [nice] = element.children;
  input.focus();
  for (const text of ['{', '{"a":1}', '{"a":1,"b":[]}', '["x"]']) {
    input.enter(text);
    assert.deepEqual([input.hidden, nice.hidden, input.value], [false, true, text]);
  }
  assert.deepEqual([said[0] instanceof Unparsed, said.slice(1)], [true, [{ a: 1 }, { a: 1, b: [] }, ['x']]]);
  input.blur();
  show(['x']);
  assert.deepEqual([input.hidden, nice.hidden], [true, false]);
});

test('the last word can be deleted and replaced', () => {
  const { element, input, said } = made('json', ['x']);
  const [line] = element.querySelectorAll('input');
  line.focus();
  line.enter('');
  assert.deepEqual([input.hidden, element.children[0].hidden], [true, false]);
  line.enter('y, z');
  assert.deepEqual(said, [null, ['y', 'z']]);
  line.enter('');
  line.blur();
  assert.equal(element.querySelectorAll('input')[0], line);
});

test('a number keeps its spelling while typed, and shows the value afterwards', () => {
  const { input, show, said } = made('decimal', '95.00');
  input.focus();
  input.enter('1234.5');
  input.enter('1234.5x');
  assert.deepEqual([said[0], said[1] instanceof Unparsed, input.value], ['1234.5', true, '1234.5x']);
  input.blur();
  show('1234.50');
  assert.equal(input.value, '1234.50');
});
