/** A minimal DOM for tests: elements with children, attributes, listeners, and focus. Removal takes the focus. */

globalThis.location ??= /** @type {any} */ ({ protocol: 'https:', hash: '' });

class Element {
  children = [];
  parent = null;
  listeners = {};
  attributes = {};
  style = { setProperty() {} };
  classList = { names: new Set(), toggle: (name, on) => void this.classList.names[on ? 'add' : 'delete'](name) };
  dataset = {};
  clientWidth = 1200;
  value = '';
  hidden = false;
  written = '';

  constructor(name) {
    this.name = name;
  }

  get textContent() {
    return this.written;
  }

  set textContent(text) {
    this.replaceChildren();
    this.written = text;
  }

  get lastElementChild() {
    return this.children.at(-1) ?? null;
  }

  append(...nodes) {
    for (const node of nodes)
      this.insertBefore(
        typeof node === 'string' ? Object.assign(new Element('#text'), { textContent: node }) : node,
        null,
      );
  }

  appendChild(node) {
    this.append(node);
    return node;
  }

  get firstChild() {
    return this.children[0] ?? null;
  }

  showModal() {}

  insertBefore(node, before) {
    node.remove();
    this.children.splice(before ? this.children.indexOf(before) : this.children.length, 0, node);
    node.parent = this;
  }

  replaceChildren(...nodes) {
    for (const child of [...this.children]) child.remove();
    this.append(...nodes);
  }

  remove() {
    if (!this.parent) return;
    if (this.contains(document.activeElement)) document.activeElement = document.body;
    this.parent.children.splice(this.parent.children.indexOf(this), 1);
    this.parent = null;
  }

  contains(node) {
    return node === this || this.children.some((child) => child.contains(node));
  }

  setAttribute(name, value) {
    this.attributes[name] = value;
  }

  removeAttribute(name) {
    delete this.attributes[name];
  }

  addEventListener(name, listener) {
    (this.listeners[name] ??= []).push(listener);
  }

  /** Focus the element, change it, and fire an event, as a user would. */
  act(name, change = {}) {
    this.focus();
    Object.assign(this, change);
    this.fire(name);
  }

  /** Replace the text, as a user would. */
  enter(value) {
    this.act('input', { value });
  }

  fire(name) {
    for (const listener of this.listeners[name] ?? []) listener({});
  }

  focus() {
    if (document.activeElement === this) return;
    document.activeElement.blur();
    document.activeElement = this;
  }

  blur() {
    if (document.activeElement !== this) return;
    document.activeElement = document.body;
    this.fire('blur');
  }

  select() {}

  getRootNode() {
    return document;
  }

  all() {
    return this.children.flatMap((child) => [child, ...child.all()]);
  }

  /** Find by element names, separated by commas. */
  querySelector(names) {
    return this.all().find(({ name }) => names.split(', ').includes(name)) ?? null;
  }

  querySelectorAll(name) {
    return this.all().filter((each) => each.name === name);
  }

  /** All text in the element. */
  get text() {
    return [this.textContent, ...this.children.map(({ text }) => text)].filter(Boolean).join(' ');
  }

  /** The first element with this accessible name. */
  called(label) {
    return this.all().find(
      (each) =>
        each.attributes['aria-label'] === label || each.children.some(({ textContent }) => textContent === label),
    );
  }
}

/** Create a page for the tests of one file. */
export function page() {
  const body = new Element('body');
  globalThis.ResizeObserver = /** @type {any} */ (
    class {
      observe() {}
      disconnect() {}
    }
  );
  globalThis.requestAnimationFrame = () => 0;
  Object.assign(globalThis, { Element, HTMLElement: Element, ShadowRoot: class {} });
  globalThis.document = /** @type {any} */ ({
    body,
    activeElement: body,
    querySelector: () => null,
    createElement: (name) => new Element(name),
    createElementNS: (_, name) => new Element(name),
  });
  return body;
}

page(); // modules need it while they load
