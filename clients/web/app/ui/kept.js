/** Drawing again without taking away what is under a person's hands: elements that would look the same stay, with the focus and what is typed in them. */

/**
 * Make these the children of an element. Those that stay in their order are not touched: an element that is moved loses the focus.
 * @param {Element} parent
 * @param {Element[]} children
 */
export function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, at) => { if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null); });
}

/** The elements of something that is drawn again and again. */
export class Kept {
  /** @type {Map<string, {look: string, element: any}>} */
  #made = new Map();
  /** @type {Set<string>} */
  #used = new Set();

  /**
   * Return the element of a key: the one there is, or a new one if it is to look different.
   * @template {HTMLElement} E
   * @param {string} key
   * @param {unknown} look what the element was made of
   * @param {() => E} make
   * @returns {E}
   */
  take(key, look, make) {
    const text = JSON.stringify(look), there = this.#made.get(key);
    this.#used.add(key);
    if (there?.look === text) return there.element;
    const element = make();
    this.#made.set(key, { look: text, element });
    return element;
  }

  /**
   * Draw, and forget what was not taken. The focus goes over to the element that took the place of the one that had it.
   * @param {() => void} draw
   */
  draw(draw) {
    const focused = document.activeElement;
    const key = focused && [...this.#made].find(([, { element }]) => element === focused)?.[0];
    this.#used.clear();
    draw();
    for (const known of [...this.#made.keys()]) if (!this.#used.has(known)) this.#made.delete(known);
    if (key && document.activeElement !== focused) this.#made.get(key)?.element.focus();
  }
}
