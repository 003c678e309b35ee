/** As much of a DOM as the widgets need: elements that hold others, hear events and have the focus. */

const text = (/** @type {any} */ child) => (typeof child === 'string' ? child : child.textContent);

class FakeElement extends EventTarget {
  children = [];
  attributes = new Map();
  dataset = {};
  hidden = false;
  value = '';
  classList = { toggle() {} };

  constructor(/** @type {string} */ name) {
    super();
    this.tagName = name.toUpperCase();
  }

  get textContent() {
    return this.children.map(text).join('');
  }

  get firstChild() {
    return this.children[0] ?? null;
  }

  append(/** @type {any[]} */ ...children) {
    this.children.push(...children);
  }

  replaceChildren(/** @type {any[]} */ ...children) {
    this.children = children;
  }

  setAttribute(/** @type {string} */ name, /** @type {string} */ value) {
    this.attributes.set(name, value);
  }

  removeAttribute(/** @type {string} */ name) {
    this.attributes.delete(name);
  }

  contains(/** @type {any} */ other) {
    return other === this || this.children.some((child) => child instanceof FakeElement && child.contains(other));
  }

  querySelectorAll(/** @type {string} */ name) {
    const own = this.children.filter((child) => child instanceof FakeElement);
    return own.flatMap((child) => [...(child.tagName === name.toUpperCase() ? [child] : []), ...child.querySelectorAll(name)]);
  }

  getRootNode() {
    return document;
  }

  focus() {
    this.blur();
    document.activeElement = /** @type {any} */ (this);
  }

  /** Take the focus from whatever has it. */
  blur() {
    const held = document.activeElement;
    document.activeElement = null;
    held?.dispatchEvent(new Event('blur'));
  }

  select() {}

  /** Type a text in the place of what is there. */
  enter(/** @type {string} */ value) {
    this.value = value;
    this.dispatchEvent(new Event('input'));
  }
}

/** @type {any} */
const document = { activeElement: null, createElement: (name) => new FakeElement(name), createElementNS: (_, name) => new FakeElement(name) };
Object.assign(globalThis, { document, ShadowRoot: class {}, Element: FakeElement, HTMLElement: FakeElement });
