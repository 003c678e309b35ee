/**
 * The worker of a tab. If the tab leads, it holds the storage, the replica, and the socket; if not, it relays requests.
 */

import sqlite3InitModule from './vendor/sqlite3/index.mjs';
import { MoatError } from './errors.js';
import { Leader } from './leader.js';
import { chooseStorage } from './storage/choose.js';
import { indexedDbParts, memoryParts } from './storage/parts.js';
import { Tab } from './tab.js';

/** @typedef {import('./index.js').OpenOptions} OpenOptions */

/** @type {Tab | null} */
let tab = null;

/** @param {any} message */
const say = (message) => self.postMessage(message);

self.onmessage = async ({ data }) => {
  if (data.type === 'open') {
    tab = begin(data.options);
  } else if (data.type === 'call' && tab) {
    try {
      say({ type: 'answer', id: data.id, value: await tab.call(data.method, data.args) });
    } catch (error) {
      say({ type: 'answer', id: data.id, error: MoatError.from(error).toJSON() });
    }
  } else if (data.type === 'close') {
    await tab?.close();
    say({ type: 'closed' });
    self.close();
  }
};

/** @param {Required<Pick<OpenOptions, 'server' | 'name' | 'storage' | 'client'>>} options */
function begin({ server, name, storage, client }) {
  return new Tab({
    name,
    notify: say,
    failed: (error) => say({ type: 'failed', error: error.toJSON() }),
    lead: async (emit) => {
      const sqlite3 = await sqlite3InitModule();
      const chosen = await chooseStorage(sqlite3, name, storage);
      const parts = chosen.durable ? await indexedDbParts(name).catch(memoryParts) : memoryParts();
      return Leader.open({ server, client, storage: chosen, parts, emit });
    },
  });
}
