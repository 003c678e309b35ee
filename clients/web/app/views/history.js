/** Who changed a record, when, and how: the server’s log if reachable, and this device’s own edits on top. */

import { ago } from '../forms/display.js';
import { after, fieldChanges, verb } from '../sync/ops.js';
import { button, h } from '../ui/dom.js';
import { sheet } from '../ui/dialog.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../app.js').App} App
 * @typedef {import('../../sdk/index.js').ObjectType} ObjectType
 * @typedef {{op: string, payload: any, version?: number, by: string, at: string, made_at?: string,
 *   waiting?: string}} Entry
 */

const PAGE = 50;

/**
 * @param {App} app
 * @param {ObjectType} type
 * @param {string} id
 * @param {string} title
 */
export async function openHistory(app, type, id, title) {
  const list = h('ol', { class: 'entries' });
  const foot = h('div', { class: 'more' });
  const note = h('p', { class: 'soft', role: 'status' }, words.history.loading);
  sheet(words.history.title(title), { body: [list, note, foot] });
  /** @type {Entry[] | null} this device’s own edits, then the server’s entries, newest first */
  let entries = null;
  async function show(/** @type {Entry[]} */ shown) {
    const titles = await referenceTitles(app, type, shown);
    list.replaceChildren(...withBefore(shown).map((entry) => draw(type, entry, titles)));
  }
  const offer = (/** @type {string} */ label, /** @type {string | undefined} */ cursor) =>
    foot.replaceChildren(button(label, () => void load(cursor), {}));
  async function load(/** @type {string | undefined} */ cursor) {
    note.textContent = words.history.loading;
    foot.replaceChildren();
    try {
      entries ??= await ownEdits(app, type, id);
      await show(entries);
      const page = await app.moat.history(type.table_name, id, { cursor, limit: PAGE });
      entries.push(...page.results);
      await show(entries);
      if (page.next) offer(words.history.earlier, page.next);
      note.textContent = '';
    } catch (error) {
      const offline = /** @type {any} */ (error).code === 'network' || !app.status.online;
      note.textContent = offline ? words.history.offline : words.history.failed(/** @type {Error} */ (error).message);
      offer(words.history.tryAgain, cursor);
    }
  }
  await load(undefined);
}

/**
 * @param {App} app
 * @param {ObjectType} type
 * @param {string} id
 * @returns {Promise<Entry[]>} edits of this device that the server has not confirmed, newest first
 */
async function ownEdits(app, type, id) {
  const overlays = await app.moat.overlays();
  return overlays
    .filter((overlay) => overlay.table === type.table_name && overlay.id === id && overlay.op !== 'settle')
    .reverse()
    .map((overlay) => ({
      op: overlay.op,
      payload: overlay.payload,
      by: app.status.user ?? words.history.you,
      at: overlay.created_at,
      waiting: words.history.states[overlay.state],
    }));
}

/**
 * Add the record before each entry, as far as earlier entries reveal it.
 * @param {Entry[]} entries newest first
 * @returns {(Entry & {before: Record<string, any> | null})[]}
 */
function withBefore(entries) {
  const oldestFirst = [...entries].reverse();
  /** @type {Record<string, any> | null} */
  let record = null;
  const known = oldestFirst[0]?.op === 'insert';
  const out = oldestFirst.map((entry) => {
    const before = known ? record : null;
    record = after(record, entry);
    return { ...entry, before: entry.op === 'insert' ? null : before };
  });
  return out.reverse();
}

/**
 * @param {ObjectType} type
 * @param {Entry & {before: Record<string, any> | null}} entry
 * @param {Map<string, string>} titles
 */
function draw(type, entry, titles) {
  const read = (/** @type {any} */ value, /** @type {string} */ text) => titles.get(String(value)) ?? text;
  const changes =
    entry.op === 'update'
      ? fieldChanges(type, entry, entry.before)
      : entry.op === 'insert'
        ? fieldChanges(type, entry)
        : [];
  return h(
    'li',
    {},
    h(
      'p',
      {},
      h('strong', {}, entry.by || words.history.system),
      words.history.did(verb(entry.op), entry.op),
      entry.waiting ? h('span', { class: 'badge pending' }, entry.waiting) : null,
    ),
    changes.length
      ? h(
          'dl',
          { class: 'changes' },
          ...changes.flatMap(({ label, before, after: now, text, was }) => [
            h('dt', {}, label),
            h(
              'dd',
              {},
              was && before !== undefined && entry.op === 'update' ? h('del', {}, read(before, was)) : null,
              ' ',
              h('ins', {}, read(now, text)),
            ),
          ]),
        )
      : null,
    h(
      'p',
      { class: 'when' },
      h('time', { dateTime: entry.at, title: new Date(entry.at).toLocaleString() }, ago(entry.at, Date.now())),
      entry.made_at ? words.history.editedOffline(new Date(entry.made_at).toLocaleString()) : '',
    ),
  );
}

/**
 * @param {App} app
 * @param {ObjectType} type
 * @param {Entry[]} entries
 * @returns {Promise<Map<string, string>>} ID → title of every record the changes refer to
 */
async function referenceTitles(app, type, entries) {
  /** @type {Map<string, string>} */
  const titles = new Map();
  const fields = type.fields.filter((field) => field.kind === 'reference');
  for (const entry of entries) {
    for (const change of fieldChanges(type, entry)) {
      const field = fields.find((one) => one.name === change.field);
      if (field && typeof change.after === 'string' && !titles.has(change.after))
        titles.set(change.after, await app.references.title(field, change.after));
    }
  }
  return titles;
}
