/** Failures show where the user asked for something, and stay silent where a retry follows. None is left unhandled. */

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { page } from './page.js';
import { App } from '../../app/app.js';
import { openConflict } from '../../app/views/conflict.js';
import { DiagnosticsView } from '../../app/views/diagnostics.js';
import { openHistory } from '../../app/views/history.js';
import { OutboxView } from '../../app/views/outbox.js';
import { JOB } from '../sdk/support.js';

const TYPE = { ...JOB, label: 'Job', label_plural: 'Jobs' };
const turn = () =>
  new Promise((resolve) => {
    setTimeout(resolve, 0);
  });

/** An app whose replica fails while `broken` is set. */
function appOf() {
  const it = { broken: true, change: (_changed) => {} };
  const call = (answer) => async () => {
    if (it.broken) throw new Error('disk I/O error');
    return answer;
  };
  const moat = {
    status: () => ({ phase: 'live', online: true, user: 'tom' }),
    onStatus() {},
    onChange: (listener) => {
      it.change = listener;
    },
    objects: call([TYPE]),
    layouts: call([]),
    overlays: call([]),
    conflicts: call([]),
    diagnostics: call({}),
    history: call({ results: [], next: null }),
    query: call([]),
  };
  it.app = new App(/** @type {any} */ (moat));
  return it;
}

const body = page();
const toastText = () => body.called('Dismiss')?.parent.text ?? '';
const dismiss = () => body.called('Dismiss')?.act('click');
afterEach(dismiss);

test('definitions that failed to load are read at the next change, and other topics continue', async () => {
  const it = appOf();
  const received = [];
  for (const topic of /** @type {const} */ (['definitions', 'overlays', 'changed']))
    it.app.on(topic, () => received.push(topic));
  it.change({ object_metadata: null, overlays: null });
  await turn();
  it.broken = false;
  it.change({ jobs: ['j1'] });
  await turn();
  it.change({ jobs: ['j1'] });
  await turn();
  assert.deepEqual(received, ['overlays', 'changed', 'definitions', 'changed', 'changed']);
  assert.deepEqual([...it.app.types.keys()], ['jobs']);
});

test('a page that fails to load says so once, and is drawn when it can be', async () => {
  const it = appOf();
  const outbox = new OutboxView(it.app);
  await turn();
  assert.ok(toastText().includes('disk I/O error'));
  dismiss();
  it.app.emit('overlays');
  await turn();
  assert.equal(toastText(), '', 'the user did not ask for that');
  it.broken = false;
  it.app.emit('overlays');
  await turn();
  assert.ok(outbox.content.text.includes('Everything is synced'));
  it.broken = true;
  const diagnostics = new DiagnosticsView(it.app);
  await turn();
  diagnostics.destroy();
  assert.ok(toastText().includes('disk I/O error'));
  dismiss();
  await openConflict(it.app);
  assert.ok(toastText().includes('disk I/O error'));
});

test('a history that fails to load says so in its sheet, and can be retried', async () => {
  const it = appOf();
  await openHistory(it.app, /** @type {any} */ (TYPE), 'j1', 'Boiler');
  const dialog = body.querySelector('dialog');
  assert.ok(dialog.text.includes('Couldn’t load the history: disk I/O error'));
  it.broken = false;
  dialog.called('Try again').act('click');
  await turn();
  assert.ok(!dialog.text.includes('Couldn’t') && !dialog.text.includes('Loading'));
});
