/** Draw a form plan. Controls keep their elements across plans, so that typed text, focus, and cursor survive. */

import { display } from '../forms/display.js';
import { button, h, uid } from './dom.js';
import { widget } from './widgets.js';
import { words } from '../words/index.js';

/**
 * @typedef {import('../forms/plan.js').Plan} Plan
 * @typedef {import('../forms/plan.js').ControlPlan} ControlPlan
 * @typedef {import('../forms/plan.js').BoxPlan} BoxPlan
 * @typedef {import('./widgets.js').References} References
 * @typedef {{element: HTMLElement, widget: import('./widgets.js').Widget, value: HTMLElement,
 *   label: HTMLLabelElement, error: HTMLElement, incoming: HTMLElement, shape: string}} Drawn
 * @typedef {{plan: Plan | null, values: Record<string, any>, problems: Map<string, string>,
 *   incoming: Map<string, any>}} Drawing
 */

// Read-only values of these kinds are shown as text. Other kinds have their own read-only look.
const READ_AS_TEXT = new Set([
  'text',
  'integer',
  'real',
  'decimal',
  'date',
  'datetime',
  'uuid',
  'choice',
  'boolean',
  'reference',
]);

export class Form {
  /**
   * @param {{oninput: (field: string, value: any) => void, references: References}} about
   */
  constructor({ oninput, references }) {
    this.element = h('div', { class: 'form' });
    this.oninput = oninput;
    this.references = references;
    /** @type {Map<string, Drawn>} */
    this.drawn = new Map();
    /** @type {Map<string, number>} the open tab of each Categorization, by key */
    this.tabs = new Map();
    this.shape = '';
    /** @type {Drawing} */
    this.last = { plan: null, values: {}, problems: new Map(), incoming: new Map() };
  }

  /**
   * Draw a plan with values and problems.
   * @param {Plan | null} plan
   * @param {Record<string, any>} values
   * @param {Map<string, string>} [problems]
   * @param {Map<string, any>} [incoming] values that others wrote to fields being edited
   */
  render(plan, values, problems = new Map(), incoming = new Map()) {
    this.last = { plan, values, problems, incoming };
    const shape = JSON.stringify(outline(plan, this.tabs));
    if (shape !== this.shape) {
      this.shape = shape;
      this.rebuild(plan);
    }
    for (const { control, drawn } of this.live(plan)) {
      drawn.widget.show(values[control.field.name] ?? null);
      drawn.widget.enable(control.enabled);
      const problem = problems.get(control.field.name) ?? '';
      if (drawn.error.textContent !== problem) drawn.error.textContent = problem;
      drawn.widget.input.setAttribute('aria-invalid', String(problem !== ''));
      drawn.element.classList.toggle('locked', !control.enabled);
      drawn.element.classList.toggle('fixed', control.fixed);
      this.showAsText(control, drawn, values[control.field.name] ?? null);
      this.showIncoming(control, drawn, incoming);
    }
    this.markTabs();
  }

  /**
   * @param {ControlPlan} control
   * @param {Drawn} drawn
   * @param {any} value
   */
  showAsText({ field, fixed }, drawn, value) {
    const asText = fixed && READ_AS_TEXT.has(field.kind);
    drawn.widget.element.hidden = asText;
    drawn.value.hidden = !asText;
    drawn.label.htmlFor = asText ? drawn.value.id : drawn.widget.input.id;
    const text = asText ? display(field, value) || words.values.none : '';
    if (drawn.value.dataset.text === text) return;
    drawn.value.dataset.text = text;
    drawn.value.replaceChildren(text);
    if (!asText || field.kind !== 'reference' || value === null) return;
    void this.references.title(field, value).then((title) => {
      const to = this.references.open?.(field, value);
      if (drawn.value.dataset.text === text) drawn.value.replaceChildren(to ? h('a', { href: to }, title) : title);
    });
  }

  /** Mark tabs that contain a problem, because it may not be visible. */
  markTabs() {
    for (const panel of this.element.querySelectorAll('[data-tab]')) {
      const tab = panel.closest('.tabs')?.querySelector('.tablist')?.children[Number(panel.getAttribute('data-tab'))];
      tab?.classList.toggle('wrong', panel.querySelector('.control:not([hidden]) [aria-invalid="true"]') !== null);
    }
  }

  /**
   * @param {ControlPlan} control
   * @param {Drawn} drawn
   * @param {Map<string, any>} incoming
   */
  showIncoming({ field }, drawn, incoming) {
    const text = incoming.has(field.name)
      ? words.form.incoming(display(field, incoming.get(field.name)) || words.values.empty)
      : '';
    if (drawn.incoming.dataset.text === text) return;
    drawn.incoming.dataset.text = text;
    drawn.incoming.replaceChildren(
      ...(text
        ? [text, button(words.form.useIncoming, () => this.oninput(field.name, incoming.get(field.name)), {})]
        : []),
    );
  }

  /**
   * Focus the first control with a problem, opening its tab, or else the first control.
   * @returns {boolean} whether a control has a problem
   */
  focus() {
    const bad = this.element.querySelector('.control:not([hidden]) [aria-invalid="true"]');
    for (let tab = bad?.closest('[data-tab][hidden]'); tab; tab = bad?.closest('[data-tab][hidden]'))
      this.openTab(tab.getAttribute('data-key') ?? '', Number(tab.getAttribute('data-tab')));
    const first =
      bad ?? this.element.querySelector(':is(input, textarea, select):not(:disabled, :read-only:not(select))');
    if (first instanceof HTMLElement) first.focus();
    return bad !== null;
  }

  /** @param {Plan | null} plan */
  rebuild(plan) {
    const root = this.element.getRootNode();
    const held = (root instanceof ShadowRoot ? root : document).activeElement;
    const selection =
      held instanceof HTMLInputElement || held instanceof HTMLTextAreaElement
        ? [held.selectionStart, held.selectionEnd]
        : null;
    const used = new Set();
    this.element.replaceChildren(...(plan ? [this.build(plan, used)] : []));
    for (const key of this.drawn.keys()) if (!used.has(key)) this.drawn.delete(key);
    if (held instanceof HTMLElement && this.element.contains(held)) {
      held.focus({ preventScroll: true });
      if (selection && selection[0] !== null)
        /** @type {HTMLInputElement} */ (held).setSelectionRange(selection[0], selection[1]);
    }
  }

  /**
   * @param {Plan} plan
   * @param {Set<string>} used
   * @returns {HTMLElement}
   */
  build(plan, used) {
    if (plan.kind === 'label') return h('p', { class: 'note', hidden: !plan.visible }, plan.text);
    if (plan.kind === 'control') return this.buildControl(plan, used);
    const children = () => plan.children.map((child) => this.build(child, used));
    if (plan.kind === 'group')
      return h(
        'fieldset',
        { class: 'group', hidden: !plan.visible },
        plan.label ? h('legend', {}, plan.label) : null,
        h('div', { class: 'column' }, ...children()),
      );
    if (plan.kind === 'tabs') return this.buildTabs(plan, used);
    return h('div', { class: plan.kind === 'row' ? 'row' : 'column', hidden: !plan.visible }, ...children());
  }

  /**
   * @param {BoxPlan} plan
   * @param {Set<string>} used
   */
  buildTabs(plan, used) {
    const shown = plan.children.filter((child) => child.visible);
    const at = Math.min(this.tabs.get(plan.key) ?? 0, Math.max(0, shown.length - 1));
    const panelId = uid('panel');
    const tabs = shown.map((tab, index) =>
      h(
        'button',
        {
          type: 'button',
          role: 'tab',
          id: uid('tab'),
          'aria-selected': String(index === at),
          'aria-controls': panelId,
          tabIndex: index === at ? 0 : -1,
          onclick: () => this.openTab(plan.key, index),
          onkeydown: (/** @type {KeyboardEvent} */ event) => {
            const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
            if (step) this.openTab(plan.key, (index + step + shown.length) % shown.length, true);
          },
        },
        /** @type {BoxPlan} */ (tab).label,
      ),
    );
    const panels = shown.map((tab, index) =>
      h(
        'div',
        { class: 'column', hidden: index !== at, 'data-key': plan.key, 'data-tab': index },
        .../** @type {BoxPlan} */ (tab).children.map((child) => this.build(child, used)),
      ),
    );
    return h(
      'div',
      { class: 'tabs', hidden: !plan.visible },
      h('div', { role: 'tablist', class: 'tablist', 'data-key': plan.key }, ...tabs),
      h('div', { role: 'tabpanel', id: panelId, 'aria-labelledby': tabs[at]?.id ?? null }, ...panels),
    );
  }

  /**
   * @param {string} key
   * @param {number} index
   * @param {boolean} [focus]
   */
  openTab(key, index, focus = false) {
    this.tabs.set(key, index);
    this.render(this.last.plan, this.last.values, this.last.problems, this.last.incoming);
    const list = [...this.element.querySelectorAll('.tablist')].find((one) => one.getAttribute('data-key') === key);
    const tab = list?.children[index];
    if (focus && tab instanceof HTMLElement) tab.focus();
  }

  /**
   * @param {ControlPlan} plan
   * @param {Set<string>} used
   */
  buildControl(plan, used) {
    const key = keyOf(plan, used);
    used.add(key);
    const shape = JSON.stringify([plan.field, plan.options]);
    let drawn = this.drawn.get(key);
    if (!drawn || drawn.shape !== shape) {
      drawn = this.drawControl(plan, shape);
      this.drawn.set(key, drawn);
    }
    drawn.label.textContent = plan.label + (plan.field.required && !plan.fixed ? ' *' : '');
    drawn.element.hidden = !plan.visible;
    return drawn.element;
  }

  /**
   * @param {ControlPlan} plan
   * @param {string} shape
   * @returns {Drawn}
   */
  drawControl(plan, shape) {
    const { field } = plan;
    const made = widget(field, {
      oninput: (value) => this.oninput(field.name, value),
      options: plan.options,
      references: this.references,
    });
    const label = h('label', { for: made.input.id });
    const value = h('output', { class: 'value', id: uid('value'), 'aria-live': 'off', hidden: true });
    const help = h('small', { class: 'help', id: uid('help') }, field.help_text ?? '');
    const error = h('p', { class: 'error', id: uid('error'), 'aria-live': 'polite' });
    const incoming = h('p', { class: 'incoming', id: uid('incoming'), role: 'status' });
    made.input.setAttribute(
      'aria-describedby',
      [field.help_text ? help.id : '', error.id, incoming.id].filter(Boolean).join(' '),
    );
    const element = h(
      'div',
      { class: `control kind-${field.kind}`, 'data-field': field.name },
      label,
      made.element,
      value,
      field.help_text ? help : null,
      incoming,
      error,
    );
    return { element, widget: made, value, label, error, incoming, shape };
  }

  /** @param {Plan | null} plan */
  live(plan) {
    const used = new Set();
    return flat(plan)
      .map((control) => {
        const key = keyOf(control, used);
        used.add(key);
        return { control, drawn: /** @type {Drawn} */ (this.drawn.get(key)) };
      })
      .filter(({ drawn }) => drawn !== undefined);
  }
}

/**
 * Identify a control by its field and a running number, so that it survives a new layout.
 * @param {ControlPlan} plan
 * @param {Set<string>} used
 */
function keyOf(plan, used) {
  let n = 0;
  while (used.has(`${plan.field.name}#${n}`)) n += 1;
  return `${plan.field.name}#${n}`;
}

/**
 * Return the controls in the order `build` draws them. Invisible tabs are not drawn.
 * @param {Plan | null} plan
 * @returns {ControlPlan[]}
 */
function flat(plan) {
  if (!plan || plan.kind === 'label') return [];
  if (plan.kind === 'control') return [plan];
  return (plan.kind === 'tabs' ? plan.children.filter((child) => child.visible) : plan.children).flatMap(flat);
}

/**
 * Return what requires elements to be created or moved: everything but values, problems, and rights.
 * @param {Plan | null} plan
 * @param {Map<string, number>} tabs
 * @returns {any}
 */
function outline(plan, tabs) {
  if (!plan) return null;
  if (plan.kind === 'label') return [plan.kind, plan.text, plan.visible];
  if (plan.kind === 'control') return [plan.label, plan.visible, plan.fixed, plan.field, plan.options];
  return [
    plan.kind,
    plan.label,
    plan.visible,
    plan.kind === 'tabs' ? (tabs.get(plan.key) ?? 0) : 0,
    plan.children.map((child) => outline(child, tabs)),
  ];
}
