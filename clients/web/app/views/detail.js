/** One record, drawn by its layout: view, edit, create, or fix a rejected edit. Typed text always survives. */

import { Edit, typedTexts } from '../forms/edit.js';
import { planForm } from '../forms/plan.js';
import { defaultLayout, resolve } from '../forms/resolve.js';
import { inSentence } from '../forms/titles.js';
import { address } from '../router.js';
import { rejectedValues, startOf } from '../sync/rights.js';
import { ask } from '../ui/dialog.js';
import { button, h } from '../ui/dom.js';
import { Form } from '../ui/form.js';
import { toast } from '../ui/toast.js';
import { back } from './back.js';
import { openHistory } from './history.js';
import { Notices } from './notices.js';
import { beginFix, endFix, fixKey } from './fix.js';
import { toastWithUndo } from './undo.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../app.js').App} App
 * @typedef {import('../../sdk/index.js').ObjectType} ObjectType
 * @typedef {{table?: string, id?: string | null, fix?: number, retitled: () => void}} About
 *   `id` null: a new record; `fix`: op_id of a rejected edit
 */

export class DetailView {
  heading = h('h1', { tabIndex: -1 }, '');
  kind = h('p', { class: 'kind' });
  historyButton = button(words.record.history, () => void this.history(), { icon: 'history', kind: 'icon' });
  deleteButton = button(words.record.delete, () => void this.remove(), { icon: 'trash', kind: 'icon' });
  saveButton = button(words.record.save, () => void this.save(), { kind: 'primary', icon: 'check' });
  cancelButton = button(words.record.cancel, () => this.cancel(), {});
  note = h('span', { class: 'note', role: 'status' });
  backPlace = h('span', { class: 'back' });
  foot = h('div', { class: 'foot', hidden: true }, this.note, this.cancelButton, this.saveButton);
  gone = false;
  saving = false;
  missing = false;
  showProblems = false;
  /** @type {import('./fix.js').Fix | null} */
  fixing = null;
  /** @type {Edit | null} */
  edit = null;
  /** @type {Map<string, string>} why the server or the replica rejected a field */
  rejected = new Map();

  /**
   * @param {App} app
   * @param {About} about
   */
  constructor(app, about) {
    this.app = app;
    this.retitled = about.retitled;
    this.table = about.table ?? '';
    this.id = about.id ?? null;
    this.isNew = about.table !== undefined && this.id === null;
    this.form = new Form({ oninput: (field, value) => this.onInput(field, value), references: app.references });
    this.notices = new Notices(app, this);
    this.element = h(
      'article',
      { class: 'record', hidden: true },
      h(
        'div',
        { class: 'pane-head' },
        this.backPlace,
        h('div', { class: 'names' }, this.kind, this.heading),
        this.historyButton,
        this.deleteButton,
      ),
      h('div', { class: 'body' }, this.notices.element, this.form.element),
      this.foot,
    );
    this.stops = [
      app.on('definitions', () => this.onDefinitions()),
      app.on('changed', (changed) => this.onChanged(changed)),
      app.on('status', () => this.draw()),
      app.on('rights', () => this.draw()),
    ];
    this.ready = about.fix === undefined ? this.load() : this.loadFix(about.fix);
  }

  destroy() {
    this.gone = true;
    for (const stop of this.stops) stop();
    this.notices.destroy();
  }

  get key() {
    return this.fixing ? fixKey(this.fixing.overlay.op_id) : `${this.table}/${this.id ?? 'new'}`;
  }

  get type() {
    return this.app.types.get(this.table);
  }

  title() {
    return this.heading.textContent ?? '';
  }

  async load() {
    const { type, app } = this;
    if (!type) return;
    const draft = app.drafts.get(this.key);
    const record = this.isNew
      ? startOf(app.rights(this.table), type)
      : await app.moat.get(this.table, /** @type {string} */ (this.id));
    if (this.gone) return;
    if (draft) {
      draft.use(type);
      if (record && !this.isNew) draft.rebase(record);
    }
    this.edit = draft ?? (record ? new Edit(type, record, { isNew: this.isNew }) : null);
    this.missing = !record;
    this.draw();
    void this.notices.read();
    if (this.isNew) this.form.focus();
  }

  /**
   * Open a rejected edit.
   * @param {number} opId
   */
  async loadFix(opId) {
    const fixing = await beginFix(this.app, opId);
    if (this.gone) return;
    if (!fixing) {
      location.replace(address({ page: 'outbox' }));
      return;
    }
    this.fixing = fixing;
    this.edit = fixing.edit;
    this.rejected = fixing.rejected;
    ({ table: this.table, id: this.id } = fixing.overlay);
    this.draw();
    void this.notices.read();
    this.form.focus();
  }

  /** @param {import('../../sdk/index.js').Changed} changed */
  async onChanged(changed) {
    const ids = changed[this.table];
    if (
      this.isNew ||
      this.fixing ||
      ids === undefined ||
      (ids !== null && !ids.includes(/** @type {string} */ (this.id)))
    )
      return;
    const record = await this.app.moat.get(this.table, /** @type {string} */ (this.id)).catch(() => null);
    if (this.gone) return;
    this.missing = !record;
    if (record && this.edit) this.edit.rebase(record);
    else if (record && this.type) this.edit = new Edit(this.type, record);
    this.draw();
    void this.notices.read();
  }

  onDefinitions() {
    if (this.type && this.edit) this.edit.use(this.type);
    this.draw();
  }

  /**
   * @param {string} field
   * @param {any} value
   */
  onInput(field, value) {
    if (!this.edit) return;
    this.edit.set(field, value);
    this.rejected.delete(field);
    if (this.edit.dirty || this.isNew || this.fixing) this.app.drafts.set(this.key, this.edit);
    else this.app.drafts.delete(this.key);
    this.app.emit('drafts');
    this.draw();
  }

  draw() {
    const { edit, type, app } = this;
    this.element.hidden = false;
    if (!type || !edit || this.missing) return this.drawMissing();
    const rights = app.rights(this.table);
    const { values } = edit;
    const layout =
      resolve(app.layouts, type.object_name, values.object_type, values.status)?.layout_json ?? defaultLayout(type);
    const plan = planForm(layout, type, values, app.formRights(type, edit.isNew));
    // A new form starts without complaints: missing values are reported on save.
    const shown = [...this.problems()].filter(
      ([field]) => this.showProblems || (edit.typed.has(field) && values[field] !== null),
    );
    const revoked = this.revokedFields().map((field) => /** @type {const} */ ([field, words.record.notWritable]));
    this.form.render(plan, values, new Map([...shown, ...revoked, ...this.rejected]), edit.incoming);
    const name = this.isNew ? words.record.new(inSentence(type.label)) : app.titleOf(type, values) || type.label;
    if (this.heading.textContent !== name) this.heading.textContent = name;
    const may = edit.isNew ? rights.create : rights.update;
    this.kind.textContent = this.fixing
      ? words.record.fixing(type.label)
      : this.isNew
        ? ''
        : may
          ? type.label
          : words.record.viewOnly(type.label);
    this.drawControls(may, rights);
    this.retitled();
  }

  /** Edited fields that the profile no longer lets the user write. Their text stays but is not sent. */
  revokedFields() {
    const { edit, app } = this;
    return edit && !edit.isNew && !this.fixing
      ? [...edit.typed.keys()].filter((field) => !app.rights(this.table).canWrite(field))
      : [];
  }

  /** The problems that prevent saving, by field. */
  problems() {
    const { edit, type, app } = this;
    if (!edit || !type) return new Map();
    return new Map([
      ...(edit.isNew ? rejectedValues(app.rights(this.table), type, edit.values) : []),
      ...edit.problems(),
    ]);
  }

  /**
   * @param {boolean} may
   * @param {import('../../sdk/index.js').Rights} rights
   */
  drawControls(may, rights) {
    // A save counts as unsaved until it is durable: the replica shows it earlier.
    const dirty = Boolean(this.edit?.dirty) || this.isNew || this.fixing !== null || this.saving;
    const untouched = !this.isNew && !this.fixing;
    this.saveButton.hidden = false;
    this.historyButton.hidden = !untouched;
    this.deleteButton.hidden = !untouched || !rights.delete;
    this.saveButton.disabled = !dirty || !may || this.saving;
    this.drawFoot(dirty);
    const note = dirty ? this.noteOf(may, rights) : '';
    if (this.note.textContent !== note) this.note.textContent = note;
    const to = this.fixing
      ? /** @type {const} */ ({ page: 'outbox' })
      : /** @type {const} */ ({ page: 'list', table: this.table });
    if (!this.backPlace.firstChild) this.backPlace.replaceChildren(back(words.record.backToList, to));
  }

  /** @param {boolean} shown */
  drawFoot(shown) {
    if (this.foot.hidden !== shown) return;
    this.foot.hidden = !shown;
    // Keep the focused input visible when the buttons appear below it.
    const held = document.activeElement;
    if (shown && held && this.form.element.contains(held)) held.scrollIntoView({ block: 'nearest' });
  }

  /**
   * @param {boolean} may
   * @param {import('../../sdk/index.js').Rights} rights
   */
  noteOf(may, rights) {
    const { edit, type } = this;
    if (!edit || !type) return '';
    const what = inSentence(type.label);
    if (!may) return edit.isNew ? words.record.mayNotCreate(what) : words.record.mayNotChange(what);
    if (!edit.isNew && rights.wouldKeep(edit.base) && !rights.wouldKeep(edit.values))
      return words.record.hiddenOnceSaved(what);
    return this.isNew || this.fixing ? '' : words.record.unsaved;
  }

  drawMissing() {
    this.heading.textContent = this.type ? words.record.notFound : words.record.typeNotFound;
    const text = this.type ? words.record.notFoundText : words.record.typeNotFoundText;
    const typed = this.edit ? typedTexts(this.edit) : [];
    const shape = JSON.stringify([text, typed]);
    // Redraw only on changes: the user may be selecting text to copy.
    if (this.form.shape !== shape) {
      const kept = typed.length
        ? [
            h(
              'div',
              { class: 'typed' },
              h('p', {}, words.record.typed),
              ...typed.map(([label, value]) => h('p', {}, h('strong', {}, `${label}: `), value)),
            ),
          ]
        : [];
      this.form.element.replaceChildren(h('p', { class: 'soft' }, text), ...kept);
      this.form.shape = shape;
    }
    for (const one of [this.historyButton, this.deleteButton, this.saveButton]) one.hidden = true;
    this.saveButton.disabled = true;
    this.note.textContent = '';
    // Unsaved text blocks navigation, so keep Cancel available.
    this.foot.hidden = !this.edit || !this.app.drafts.has(this.key);
    if (!this.backPlace.firstChild) this.backPlace.replaceChildren(back(words.record.back, { page: 'home' }));
  }

  async save() {
    const { edit, app, type } = this;
    if (!edit || !type || this.saving || !(edit.dirty || this.isNew || this.fixing)) return;
    if (this.saveButton.disabled) return;
    this.showProblems = true;
    const problems = this.problems();
    if (problems.size) {
      this.draw();
      // A field outside the layout can have a problem too.
      if (!this.form.focus()) toast([...problems.values()][0], { tone: 'bad' });
      return;
    }
    this.saving = true;
    this.draw();
    try {
      await this.write(edit, type);
      // Text typed during the save is still unsaved.
      if (this.isNew || this.fixing || !edit.dirty) app.drafts.delete(this.key);
      app.emit('drafts');
    } catch (error) {
      const { field, message } = /** @type {{field?: string, message: string}} */ (error);
      if (field && edit.fields.has(field)) this.rejected.set(field, message);
      toast(message, { tone: 'bad' });
    } finally {
      this.saving = false;
      if (!this.gone) this.draw();
    }
  }

  /**
   * @param {Edit} edit
   * @param {ObjectType} type
   */
  async write(edit, type) {
    const { app, table } = this;
    if (this.fixing) {
      const op = await endFix(app, this.fixing);
      location.hash = address({ page: 'outbox' });
      toast(op === null ? words.record.nothingToSend : words.record.resent);
    } else if (this.isNew) {
      const id = await app.moat.insert(table, edit.result());
      app.drafts.delete(this.key);
      toastWithUndo(app, words.record.created(type.label), { op: 'insert', table, id });
      if (!this.gone) location.replace(address({ page: 'record', table, id }));
    } else {
      const id = /** @type {string} */ (this.id);
      const values = edit.result();
      for (const field of this.revokedFields()) delete values[field];
      const before = Object.fromEntries(Object.keys(values).map((name) => [name, edit.base[name] ?? null]));
      const op = await app.moat.update(table, id, values);
      edit.saved(values);
      this.showProblems = false;
      if (op !== null) toastWithUndo(app, words.record.saved, { op: 'update', table, id, before, opId: op });
    }
  }

  cancel() {
    this.app.drafts.delete(this.key);
    this.app.emit('drafts');
    if (this.isNew || this.fixing || this.missing) {
      location.hash = address(this.fixing ? { page: 'outbox' } : { page: 'list', table: this.table });
      return;
    }
    this.edit?.reset();
    this.rejected.clear();
    this.showProblems = false;
    this.draw();
  }

  async remove() {
    const { app, table, type, edit } = this;
    if (!type || !edit) return;
    const id = /** @type {string} */ (this.id);
    const answer = await ask(words.record.deleteTitle(app.titleOf(type, edit.base)), words.record.deleteText, [
      { key: 'no', label: words.record.cancel },
      { key: 'yes', label: words.record.delete, kind: 'danger' },
    ]);
    if (answer !== 'yes') return;
    const before = edit.base;
    await app.attempt(async () => {
      const opId = await app.moat.remove(table, id);
      app.drafts.delete(this.key);
      location.hash = address({ page: 'list', table });
      toastWithUndo(app, words.record.deleted(type.label), { op: 'delete', table, id, before, opId });
    });
  }

  async history() {
    if (this.type && this.id) await openHistory(this.app, this.type, this.id, this.title());
  }
}
