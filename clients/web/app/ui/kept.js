/** Redraw without disturbing the user: elements that would look the same stay, with their focus and typed text. */

/**
 * Set the children of an element. Children that keep their order are not moved: moving one would take its focus.
 * @param {Element} parent
 * @param {Element[]} children
 */
export function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, at) => {
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
}

/** The elements of a part that is redrawn often. */
export class Kept {
  /** @type {Map<string, {look: string, element: any}>} */
  #made = new Map();
  /** @type {Set<string>} */
  #used = new Set();

  /**
   * Return the element of a key: the existing one, or a new one if its look changed.
   * @template {HTMLElement} E
   * @param {string} key
   * @param {unknown} look what the element is made from
   * @param {() => E} make
   * @returns {E}
   */
  take(key, look, make) {
    const text = JSON.stringify(look),
      there = this.#made.get(key);
    this.#used.add(key);
    if (there?.look === text) return there.element;
    const element = make();
    this.#made.set(key, { look: text, element });
    return element;
  }

  /**
   * Draw, then discard elements that were not taken. A replacement of the focused element gets the focus.
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
