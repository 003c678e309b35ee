/** What somebody needs who looks for a fault: where the replica stands, where it is kept, whether it equals the server's. */

import { native } from '../native.js';
import { describe } from '../sync/describe.js';
import { button, h } from '../ui/dom.js';
import { toast } from '../ui/toast.js';
import { back } from './back.js';

/** @typedef {import('../app.js').App} App */

const TIERS = ['', 'file system of the browser (OPFS)', 'IndexedDB', 'memory only'];

export class DiagnosticsView {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.facts = h('dl', { class: 'facts' });
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
    void this.draw();
  }

  title() {
    return 'Diagnostics';
  }

  destroy() {
    this.gone = true;
    clearTimeout(this.timer);
    for (const stop of this.stops) stop();
  }

  /** Not more than twice a second, however busy the sync is. */
  soon() {
    this.timer ??= setTimeout(() => { this.timer = undefined; void this.draw(); }, 500);
  }

  async draw() {
    const about = this.read = await this.app.moat.diagnostics();
    if (this.gone) return;
    const { status } = this.app;
    const { text, hint } = describe(status, Date.now());
    const kept = await navigator.storage?.persisted?.().catch(() => false);
    /** @type {[string, any][]} */
    const rows = [
      ['State', `${text} – ${hint}`], ['Problem', status.problem ? `${status.problem.code}: ${status.problem.message}` : 'none'],
      ['Server', about.server], ['Company', about.tenant], ['User', about.user], ['Device', about.device], ['Channel', about.channel],
      ['Position', `${about.cursor} of ${status.head}`], ['Behind by', `${Math.max(0, status.head - about.cursor)} changes`], ['Version of the tables', about.schema_version], ['Chain', about.state_hash], ['Server epoch', about.server_epoch],
      ['Not sent', `${about.overlays.pending} waiting, ${about.overlays.acked} being confirmed, ${about.overlays.conflict} in conflict, ${about.overlays.rejected} refused, ${about.overlays.parked} parked`],
      ['Kept in', `${TIERS[about.storage.tier]}${about.storage.reason ? ` – ${about.storage.reason}` : ''}`], ['Safe from eviction', kept ? 'yes' : 'the browser may remove it when space is short'],
      ['Size', `${new Intl.NumberFormat().format(Math.round(about.bytes / 1024))} KiB`], ['This tab', status.leader ? 'holds the connection' : 'follows another tab'],
      ['App', about.version], ['SQLite', about.sqlite], ['Starts offline', native || navigator.serviceWorker?.controller ? 'yes' : 'after the next reload'],
      ...Object.entries(about.tables).map(([name, count]) => /** @type {[string, any]} */ ([`Records in ${name}`, new Intl.NumberFormat().format(Number(count))])),
    ];
    this.facts.replaceChildren(...rows.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, String(value ?? '–'))]));
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
    const agreed = await this.app.moat.persist();
    toast(agreed ? 'The browser keeps the data.' : 'The browser decides by itself. Installing the app helps.');
    await this.draw();
  }

  async copy() {
    await this.app.attempt(async () => {
      await navigator.clipboard.writeText(JSON.stringify(this.read, null, 2));
      toast('Copied.');
    });
  }
}
