import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';

import './dom.js';

import { Unparsed } from '../../app/forms/edit.js';
import { widget } from '../../app/ui/widgets.js';

/** A widget and what it said; like a form, it shows back what is typed. */
function made(kind, value = null) {
  const said = [];
  const references = { search: async () => [{ id: 'c1', title: 'Acme' }], title: async (_, id) => `Title of ${id}` };
  /** @type {any} */
  const one = widget(/** @type {any} */ ({ name: 'f', kind, label: 'F' }), { oninput: (typed) => { said.push(typed); one.show(typed); }, references });
  one.show(value);
  return { ...one, said };
}

test('a value that arrives in an empty picker with the focus stays, and is shown', async () => {
  const { input, show, said } = made('reference');
  input.focus();
  show('c2');
  await turn();
  assert.equal(input.value, 'Title of c2');
  input.blur();
  assert.deepEqual([said, input.value], [[], 'Title of c2']);
});

test('a picker that is emptied by hand picks none; what is being typed into it is left alone', async () => {
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

test('a number keeps its spelling while it is typed, and shows the value afterwards', () => {
  const { input, show, said } = made('decimal', '95.00');
  input.focus();
  input.enter('1234.5');
  input.enter('1234.5x');
  assert.deepEqual([said[0], said[1] instanceof Unparsed, input.value], ['1234.5', true, '1234.5x']);
  input.blur();
  show('1234.50');
  assert.equal(input.value, '1234.50');
});
