/** The conflict sheet: original, my value, and their value with time and author. The user decides per field. */

import { Edit } from '../forms/edit.js';
import { ago, display } from '../forms/display.js';
import { answer, question } from '../sync/conflict.js';
import { button, h, uid } from '../ui/dom.js';
import { sheet } from '../ui/dialog.js';
import { toast } from '../ui/toast.js';
import { widget } from '../ui/widgets.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../app.js').App} App
 * @typedef {import('../sync/conflict.js').Conflict} Conflict
 * @typedef {import('../sync/conflict.js').ConflictField} ConflictField
 * @typedef {import('../sync/conflict.js').Pick} Pick
 * @typedef {Map<string, {pick: Pick, value?: any}>} Picks
 */

/**
 * Open the sheet of a conflict, or of the first one.
 * @param {App} app
 * @param {number} [opId]
 */
export async function openConflict(app, opId) {
  await app.attempt(async () => {
    const all = await app.moat.conflicts();
    const conflict = all.find((one) => one.op_id === opId) ?? all[0];
    if (!conflict) return void toast(words.conflict.resolved);
    await new Sheet(app, conflict).open(all.length);
  });
}

class Sheet {
  /**
   * @param {App} app
   * @param {Conflict} conflict
   */
  constructor(app, conflict) {
    this.app = app;
    this.conflict = conflict;
    this.type = app.types.get(conflict.table);
    this.asked = question(conflict, this.type);
    /** @type {Picks} */
    this.picks = new Map();
    /** @type {Map<string, string>} IDs of references → titles */
    this.titles = new Map();
    this.by = conflict.by || words.conflict.someoneElse;
    this.error = h('p', { class: 'error', role: 'alert' });
  }

  /** @param {number} count number of conflicts */
  async open(count) {
    const { app, conflict, type, asked } = this;
    const about = words.conflict.kinds[asked.kind](this.by);
    await this.readTitles();
    const record = (await app.moat.get(conflict.table, conflict.id)) ?? {
      ...conflict.base,
      ...conflict.mine,
      id: conflict.id,
    };
    const when = words.conflict.when(
      this.by,
      conflict.at ? ago(conflict.at, Date.now()) : '',
      ago(conflict.created_at, Date.now()),
    );
    const what = `${type?.label ?? conflict.table} “${app.titleOf(type, record)}”`;
    const keep = button(about.mine, () => void this.resolve('mine'), { kind: 'primary' });
    const take = button(about.theirs, () => void this.resolve('theirs'), {});
    this.own = button(words.conflict.save, () => void this.resolveByField(), { kind: 'primary' });
    this.own.hidden = true;
    this.plain = [keep, take];
    const others = asked.others.length
      ? h(
          'p',
          { class: 'soft' },
          words.conflict.others(asked.others.map((field) => field.label).join(', '), about.theirs),
        )
      : null;
    this.dialog = sheet(count > 1 ? words.conflict.firstOf(count) : words.conflict.title, {
      class: 'conflict',
      body: [
        h('p', {}, h('strong', {}, what)),
        h('p', {}, about.title),
        h('p', { class: 'soft' }, when),
        h('div', { class: 'conflict-fields' }, ...asked.fields.map((one) => this.drawField(one))),
        ...(others ? [others] : []),
        this.error,
      ],
      foot: [keep, take, this.own],
    });
  }

  async readTitles() {
    for (const { field, base, mine, theirs } of this.asked.fields) {
      if (field.kind !== 'reference') continue;
      for (const id of [base, mine, theirs])
        if (typeof id === 'string') this.titles.set(id, await this.app.references.title(field, id));
    }
  }

  /** @param {ConflictField} conflicting */
  drawField({ field, base, mine, theirs }) {
    const { asked } = this;
    const read = (/** @type {any} */ value) =>
      (field.kind === 'reference' && this.titles.get(value)) || display(field, value) || words.values.empty;
    const name = uid('pick');
    const versions = h('div', { class: 'versions' });
    const own = h('div', { class: 'own-value', hidden: true });
    const pick = (/** @type {Pick} */ picked) => {
      this.picks.set(field.name, { pick: picked, value: this.picks.get(field.name)?.value ?? mine });
      own.hidden = picked !== 'own';
      if (picked === 'own' && !own.firstChild) this.addWidget(own, field, mine);
      this.choosing();
    };
    const choice = (/** @type {Pick} */ picked, /** @type {string} */ label, /** @type {string} */ value) =>
      h(
        'label',
        { class: `version ${picked}` },
        asked.kind === 'fields'
          ? h('input', { type: 'radio', name, value: picked, oninput: () => pick(picked) })
          : null,
        h('span', { class: 'whose' }, label),
        h('span', { class: 'value' }, value),
      );
    if (asked.kind !== 'i_deleted') versions.append(choice('mine', words.conflict.mine, read(mine)));
    if (asked.kind !== 'they_deleted') versions.append(choice('theirs', words.conflict.theirs(this.by), read(theirs)));
    if (asked.kind === 'fields') versions.append(choice('own', words.conflict.own, ''));
    return h(
      'fieldset',
      { class: 'conflict-field', 'data-field': field.name },
      h('legend', {}, field.label || field.name),
      h('p', { class: 'soft' }, words.conflict.original(read(base))),
      versions,
      own,
    );
  }

  /**
   * @param {HTMLElement} place
   * @param {import('../../sdk/index.js').Field} field
   * @param {any} value
   */
  addWidget(place, field, value) {
    const made = widget(field, {
      oninput: (typed) => this.picks.set(field.name, { pick: 'own', value: typed === '' ? null : typed }),
      references: this.app.references,
    });
    made.input.setAttribute('aria-label', field.label || field.name);
    place.append(made.element);
    made.show(value);
    made.input.focus();
  }

  /** Offer to save the picks, because the user decides field by field. */
  choosing() {
    if (this.own) this.own.hidden = false;
    for (const one of this.plain ?? []) one.hidden = true;
  }

  async resolveByField() {
    const { type, asked, picks } = this;
    const missing = asked.fields.find(({ field }) => !picks.has(field.name));
    if (missing) return this.fail(words.conflict.missing(missing.field.label));
    const choice = answer(asked, picks);
    if (typeof choice !== 'string' && type) {
      const edit = new Edit(type, {});
      for (const [name, value] of Object.entries(choice)) edit.set(name, value);
      const [problem] = edit.problems().values();
      if (problem) return this.fail(problem);
      return this.resolve({ ...choice, ...edit.result() });
    }
    return this.resolve(choice);
  }

  /** @param {'mine' | 'theirs' | Record<string, any>} choice */
  async resolve(choice) {
    try {
      await this.app.moat.resolve(this.conflict.op_id, choice);
      this.dialog?.close();
      toast(choice === 'theirs' ? words.conflict.keptTheirs : words.conflict.done);
    } catch (error) {
      this.fail(error instanceof Error ? error.message : String(error));
    }
  }

  /** @param {string} text */
  fail(text) {
    this.error.textContent = text;
  }
}
