/** What somebody needs who looks for a fault: where the replica stands, where it is kept, whether it equals the server's. */

import { native } from '../native.js';
import { describe, profileName } from '../sync/describe.js';
import { button, h } from '../ui/dom.js';
import { toast } from '../ui/toast.js';
import { back } from './back.js';

/** @typedef {import('../app.js').App} App */

const TIERS = ['', 'File system of the browser (OPFS)', 'IndexedDB', 'Memory only: lost when the window closes'];

export class DiagnosticsView {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.facts = h('div', {});
    this.result = h('p', { role: 'status', class: 'soft' });
    this.verifyButton = button('Compare with the server', () => void this.verify(), { kind: 'primary', icon: 'check' });
    this.element = h('article', { class: 'record page' }, h('div', { class: 'pane-head' }, back('Start', { page: 'home' }), h('h1', {}, 'Diagnostics')),
      h('div', { class: 'body' }, h('div', { class: 'actions' }, this.verifyButton, button('Keep data safe', () => void this.persist(), { icon: 'box' }), button('Copy', () => void this.copy(), { icon: 'list' })), this.result, this.facts));
    this.gone = false;
    /** @type {Record<string, any>} */
    this.read = {};
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.stops = [app.on('status', () => this.soon()), app.on('changed', () => this.soon())];
    void app.attempt(() => this.draw());
  }

  title() {
    return 'Diagnostics';
  }

  destroy() {
    this.gone = true;
    clearTimeout(this.timer);
    for (const stop of this.stops) stop();
  }

  /** Not more than twice a second, however busy the sync is. What cannot be read now is read after the next change. */
  soon() {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.draw().catch(() => {});
    }, 500);
  }

  async draw() {
    const about = this.read = await this.app.moat.diagnostics();
    if (this.gone) return;
    const { status } = this.app;
    const { text, hint } = describe(status, Date.now());
    const count = (/** @type {any} */ n) => new Intl.NumberFormat().format(Number(n));
    /** @type {[string, [string, any][]][]} */
    const sections = [
      ['Sync', [['State', `${text}. ${hint}`], ['Problem', status.problem ? `${status.problem.code}: ${status.problem.message}` : 'None'],
        ['Not sent', `${about.overlays.pending} waiting, ${about.overlays.acked} being confirmed, ${about.overlays.conflict} in conflict, ${about.overlays.rejected} rejected, ${about.overlays.parked} parked`],
        ['Position', `${count(about.cursor)} of ${count(status.head)}, ${count(Math.max(0, status.head - about.cursor))} changes behind`], ['Version of the tables', about.schema_version], ['This tab', status.leader ? 'Holds the connection' : 'Follows another tab']]],
      ['On this device', [['Kept in', `${TIERS[about.storage.tier]}${about.storage.reason ? ` (${about.storage.reason})` : ''}`], ['Safe from removal', this.app.kept ? 'Yes' : 'No. It may be removed when space is short; installing Moat as an app prevents that.'],
        ['Size', `${count(Math.round(about.bytes / 1024))} KiB`], ['Starts offline', native || navigator.serviceWorker?.controller ? 'Yes' : 'After the next reload'], ['App', about.version], ['SQLite', about.sqlite]]],
      ['Account', [['Company', about.tenant], ['User', about.user], ['Profile', profileName(status.profile)], ['Device', about.device], ['Channel', about.channel], ['Server', about.server], ['Server epoch', about.server_epoch], ['Chain', about.state_hash]]],
      ['Tables', Object.entries(about.tables).map(([name, n]) => [`Records in ${name}`, count(n)])],
    ];
    this.facts.replaceChildren(...sections.map(([title, rows]) => h('section', { class: 'facts' }, h('h2', {}, title), h('dl', {}, ...rows.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, String(value ?? '–'))])))));
  }

  async verify() {
    this.verifyButton.disabled = true;
    this.result.textContent = this.app.status.online ? 'Comparing every table …' : 'Waits for a connection …';
    await this.app.attempt(async () => {
      const { equal, repaired, problem } = await this.app.moat.verify();
      this.result.textContent = problem ? problem.message : equal ? `Equal to the server${repaired ? `; ${repaired} records were put right` : ''}.` : `${repaired} records differed and were put right.`;
    });
    this.verifyButton.disabled = false;
  }

  async persist() {
    const agreed = await this.app.keep();
    toast(agreed ? 'The browser keeps the data.' : 'The browser decides by itself. Installing the app helps.');
    await this.app.attempt(() => this.draw());
  }

  async copy() {
    await this.app.attempt(async () => {
      await navigator.clipboard.writeText(JSON.stringify(this.read, null, 2));
      toast('Copied.');
    });
  }
}
