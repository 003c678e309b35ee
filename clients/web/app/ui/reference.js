/** A searchable picker for references: a combobox with a listbox, following the ARIA authoring practices. */

import { h, icon, isFocused, uid } from './dom.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../../sdk/index.js').Field} Field
 * @typedef {import('./widgets.js').References} References
 * @typedef {import('./widgets.js').Found} Found
 * @typedef {import('./widgets.js').Widget} Widget
 */

/**
 * @param {Field} field
 * @param {(value: string | null) => void} oninput
 * @param {References} references
 * @returns {Widget}
 */
export function referenceWidget(field, oninput, references) {
  const list = h('ul', {
    id: uid('options'),
    role: 'listbox',
    class: 'options',
    hidden: true,
    'aria-label': field.label,
  });
  const input = h('input', {
    type: 'text',
    id: uid(field.name),
    name: field.name,
    autocomplete: 'off',
    role: 'combobox',
    required: field.required === true,
    'aria-expanded': 'false',
    'aria-controls': list.id,
    'aria-autocomplete': 'list',
    placeholder: words.form.search,
  });
  const link = h(
    'a',
    {
      class: 'button icon',
      hidden: true,
      title: words.form.open(field.label),
      'aria-label': words.form.open(field.label),
    },
    icon('out'),
  );
  const picker = new Picker(field, { input, list, link }, oninput, references);
  return {
    element: h('div', { class: 'picker' }, input, references.open ? link : null, list),
    input,
    show: (value) => picker.show(value ?? null),
    enable: (enabled) => {
      input.disabled = !enabled;
    },
  };
}

class Picker {
  /**
   * @param {Field} field
   * @param {{input: HTMLInputElement, list: HTMLUListElement, link: HTMLAnchorElement}} parts
   * @param {(value: string | null) => void} oninput
   * @param {References} references
   */
  constructor(field, { input, list, link }, oninput, references) {
    this.field = field;
    this.input = input;
    this.list = list;
    this.link = link;
    this.oninput = oninput;
    this.references = references;
    /** @type {Found[]} */
    this.found = [];
    this.active = -1;
    this.asked = 0;
    /** Whether the user typed since focusing or picking. Only then does an empty input mean “None”. */
    this.edited = false;
    /** @type {string | null | undefined} */
    this.value = undefined;
    this.title = '';
    input.addEventListener('input', () => {
      this.edited = true;
      void this.search();
    });
    input.addEventListener('click', () => {
      if (list.hidden && !input.disabled) {
        input.select();
        void this.search(true);
      }
    });
    input.addEventListener('blur', () => this.close());
    input.addEventListener('keydown', (event) => this.onKey(event));
    list.addEventListener('pointerdown', (event) => event.preventDefault()); // keeps the focus in the input
    list.addEventListener('click', (event) => this.onClick(event));
  }

  /** @param {string | null} value */
  show(value) {
    if (value === this.value) return;
    this.value = value;
    this.title = value ?? '';
    this.write();
    this.showLink();
    if (value === null) return;
    void this.references.title(this.field, value).then((title) => {
      if (this.value !== value) return;
      this.title = title;
      this.write();
    });
  }

  write() {
    if (!isFocused(this.input) || !this.edited) this.input.value = this.title;
  }

  showLink() {
    const address = this.value ? this.references.open?.(this.field, this.value) : null;
    this.link.hidden = !address;
    if (address) this.link.href = address;
  }

  /** @param {boolean} [all] ignore what was typed and show everything */
  async search(all = false) {
    this.asked += 1;
    const turn = this.asked;
    const found = await this.references.search(this.field, all ? '' : this.input.value);
    if (turn !== this.asked || !isFocused(this.input)) return;
    this.found = this.field.required ? found : [{ id: '', title: words.form.none }, ...found];
    this.active = -1;
    this.list.replaceChildren(
      ...this.found.map((item, index) =>
        h(
          'li',
          { id: `${this.list.id}-${index}`, role: 'option', 'aria-selected': String(item.id === (this.value ?? '')) },
          item.title,
        ),
      ),
    );
    if (!found.length) this.list.append(h('li', { class: 'nothing', role: 'presentation' }, words.form.noMatches));
    this.list.hidden = false;
    this.input.setAttribute('aria-expanded', 'true');
  }

  close() {
    this.asked += 1;
    this.list.hidden = true;
    this.input.setAttribute('aria-expanded', 'false');
    this.input.removeAttribute('aria-activedescendant');
    if (this.edited && this.input.value === '' && !this.field.required && this.value !== null)
      this.pick({ id: '', title: '' });
    this.edited = false;
    this.input.value = this.title;
  }

  /** @param {Found} item */
  pick(item) {
    this.edited = false;
    this.value = item.id || null;
    this.title = item.id ? item.title : '';
    this.input.value = this.title;
    this.showLink();
    this.oninput(this.value);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.key === 'Escape' && !this.list.hidden) {
      event.stopPropagation();
      this.close();
    } else if (event.key === 'Enter' && this.active >= 0 && !this.list.hidden) {
      event.preventDefault();
      this.pick(this.found[this.active]);
      this.close();
    } else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      if (this.list.hidden) void this.search(true);
      else this.move(event.key === 'ArrowDown' ? 1 : -1);
    }
  }

  /** @param {number} step */
  move(step) {
    if (!this.found.length) return;
    this.active = (this.active + step + this.found.length) % this.found.length;
    [...this.list.children].forEach((child, index) => child.classList.toggle('active', index === this.active));
    this.list.children[this.active].scrollIntoView({ block: 'nearest' });
    this.input.setAttribute('aria-activedescendant', `${this.list.id}-${this.active}`);
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    const item = event.target instanceof Element ? event.target.closest('li') : null;
    const index = item ? [...this.list.children].indexOf(item) : -1;
    if (index < 0 || index >= this.found.length) return;
    this.pick(this.found[index]);
    this.close();
  }
}
