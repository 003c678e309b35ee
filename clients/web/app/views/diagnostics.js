/** Facts for troubleshooting: the replica’s position and storage, and whether it equals the server’s data. */

import { native } from '../native.js';
import { describe, profileName } from '../sync/describe.js';
import { button, h } from '../ui/dom.js';
import { toast } from '../ui/toast.js';
import { back } from './back.js';
import { words } from '../words/index.js';
import { number } from '../words/plural.js';

/** @typedef {import('../app.js').App} App */

const { facts, sections } = words.diagnostics;

export class DiagnosticsView {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.facts = h('div', {});
    this.result = h('p', { role: 'status', class: 'soft' });
    this.verifyButton = button(words.diagnostics.compare, () => void this.verify(), { kind: 'primary', icon: 'check' });
    this.element = h(
      'article',
      { class: 'record page' },
      h(
        'div',
        { class: 'pane-head' },
        back(words.diagnostics.home, { page: 'home' }),
        h('h1', {}, words.diagnostics.title),
      ),
      h(
        'div',
        { class: 'body' },
        h(
          'div',
          { class: 'actions' },
          this.verifyButton,
          button(words.diagnostics.protect, () => void this.persist(), { icon: 'box' }),
          button(words.diagnostics.copy, () => void this.copy(), { icon: 'list' }),
        ),
        this.result,
        this.facts,
      ),
    );
    this.gone = false;
    /** @type {Record<string, any>} */
    this.read = {};
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.stops = [app.on('status', () => this.soon()), app.on('changed', () => this.soon())];
    void app.attempt(() => this.draw());
  }

  title() {
    return words.diagnostics.title;
  }

  destroy() {
    this.gone = true;
    clearTimeout(this.timer);
    for (const stop of this.stops) stop();
  }

  /** Redraw at most twice a second. If reading fails, the next change tries again. */
  soon() {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.draw().catch(() => {});
    }, 500);
  }

  async draw() {
    const about = (this.read = await this.app.moat.diagnostics());
    if (this.gone) return;
    const { status } = this.app;
    const rows = factsOf(about, status, this.app.kept);
    this.facts.replaceChildren(
      ...rows.map(([title, facts]) =>
        h(
          'section',
          { class: 'facts' },
          h('h2', {}, title),
          h(
            'dl',
            {},
            ...facts.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, String(value ?? words.values.none))]),
          ),
        ),
      ),
    );
  }

  async verify() {
    this.verifyButton.disabled = true;
    this.result.textContent = this.app.status.online ? words.diagnostics.comparing : words.diagnostics.waiting;
    await this.app.attempt(async () => {
      const { equal, repaired, problem } = await this.app.moat.verify();
      this.result.textContent = problem ? problem.message : comparison(equal, repaired);
    });
    this.verifyButton.disabled = false;
  }

  async persist() {
    const agreed = await this.app.keep();
    toast(agreed ? words.diagnostics.willKeep : words.diagnostics.mayNotKeep);
    await this.app.attempt(() => this.draw());
  }

  async copy() {
    await this.app.attempt(async () => {
      await navigator.clipboard.writeText(JSON.stringify(this.read, null, 2));
      toast(words.diagnostics.copied);
    });
  }
}

/**
 * Return what the page lists, by section.
 * @param {Record<string, any>} about what `moat.diagnostics` returns
 * @param {import('../../sdk/index.js').Status} status
 * @param {boolean | null} kept whether the browser promised to keep the data
 * @returns {[string, [string, any][]][]}
 */
function factsOf(about, status, kept) {
  const { text, hint } = describe(status, Date.now());
  const { storage } = about;
  const tier = words.diagnostics.storage[storage.tier];
  const offline = native || navigator.serviceWorker?.controller;
  return [
    [
      sections.sync,
      [
        [facts.status, `${text}. ${hint}`],
        [facts.problem, status.problem ? `${status.problem.code}: ${status.problem.message}` : words.diagnostics.none],
        [facts.unsynced, words.diagnostics.unsynced(about.overlays)],
        [facts.position, words.diagnostics.position(about.cursor, status.head)],
        [facts.schema, about.schema_version],
        [facts.tab, status.leader ? words.diagnostics.leader : words.diagnostics.follower],
      ],
    ],
    [
      sections.device,
      [
        [facts.storage, storage.reason ? `${tier} (${storage.reason})` : tier],
        [facts.protected, kept ? words.diagnostics.yes : words.diagnostics.unprotected],
        [facts.size, words.diagnostics.size(about.bytes)],
        [facts.offline, offline ? words.diagnostics.opensOffline : words.diagnostics.opensOfflineLater],
        [facts.app, about.version],
        [facts.sqlite, about.sqlite],
      ],
    ],
    [
      sections.account,
      [
        [facts.company, about.tenant],
        [facts.user, about.user],
        [facts.profile, profileName(status.profile)],
        [facts.device, about.device],
        [facts.channel, about.channel],
        [facts.server, about.server],
        [facts.epoch, about.server_epoch],
        [facts.chain, about.state_hash],
      ],
    ],
    [sections.tables, Object.entries(about.tables).map(([name, count]) => [facts.records(name), number(count)])],
  ];
}

/**
 * @param {boolean} equal whether the replica equals the server's data, after repairs
 * @param {number} repaired how many records were repaired
 */
function comparison(equal, repaired) {
  if (!equal) return words.diagnostics.repaired(repaired);
  return repaired ? words.diagnostics.equalRepaired(repaired) : words.diagnostics.equal;
}
