/** Helpers to build DOM elements. */

/**
 * Create an element. Properties that start with `on` are listeners. `class`, `for`, `role`, and names with a dash are
 * attributes. All others are properties.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string | null | false | undefined)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (key === 'class' || key === 'for' || key === 'role' || key.includes('-'))
      element.setAttribute(key, String(value));
    else Reflect.set(element, key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

/** @type {Record<string, string>} 24 × 24 outlines by name */
const ICONS = {
  back: 'M15 5l-7 7 7 7',
  plus: 'M12 5v14M5 12h14',
  close: 'M6 6l12 12M18 6L6 18',
  search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16 16l4 4',
  check: 'M5 13l4 4L19 7',
  trash: 'M5 7h14M10 7V5h4v2M7 7l1 12h8l1-12',
  history: 'M12 7v5l3 2M4 12a8 8 0 1 0 3-6M4 4v4h4',
  filter: 'M4 6h16M7 12h10M10 18h4',
  warning: 'M12 4l9 16H3zM12 10v4M12 17v.5',
  sync: 'M4 12a8 8 0 0 1 14-5l2 2M20 4v5h-5M20 12a8 8 0 0 1-14 5l-2-2M4 20v-5h5',
  menu: 'M4 7h16M4 12h16M4 17h16',
  info: 'M12 11v6M12 7.5V8M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z',
  wrench: 'M14 6a4 4 0 0 0 5 5l-9 9-4-4 9-9z',
  building: 'M5 20V5h9v15M14 10h5v10M8 9h3M8 13h3M3 20h18',
  user: 'M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM5 20c0-4 3-6 7-6s7 2 7 6',
  box: 'M4 8l8-4 8 4v8l-8 4-8-4zM4 8l8 4 8-4M12 12v8',
  list: 'M8 6h12M8 12h12M8 18h12M4 6h.5M4 12h.5M4 18h.5',
  redo: 'M20 12a8 8 0 1 1-3-6M20 4v4h-4',
  undo: 'M4 10h10a5 5 0 0 1 0 10h-4M4 10l5-5M4 10l5 5',
  out: 'M14 4h6v6M20 4l-9 9M18 14v6H4V6h6',
  code: 'M9 7l-5 5 5 5M15 7l5 5-5 5',
  inbox: 'M4 13l3-8h10l3 8v6H4zM4 13h5l1 3h4l1-3h5',
  logout: 'M10 4H5v16h5M14 8l4 4-4 4M18 12H9',
  cloud: 'M7 18a4 4 0 0 1 0-8 5 5 0 0 1 10-1 4 4 0 0 1 0 9z',
  plane: 'M3 12l18-8-6 17-3-7z',
  receipt: 'M6 3v18l3-2 3 2 3-2 3 2V3zM9 8h6M9 12h6',
  table: 'M4 5h16v14H4zM4 10h16M10 10v9',
};

/**
 * Create an icon. Unknown names get the table icon.
 * @param {string} name
 * @param {string} [className] added to `icon`
 * @returns {SVGElement}
 */
export function icon(name, className = '') {
  const svg = document.createElementNS(SVG, 'svg');
  for (const [key, value] of Object.entries({
    viewBox: '0 0 24 24',
    class: `icon ${className}`.trim(),
    'aria-hidden': 'true',
  }))
    svg.setAttribute(key, value);
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name] ?? ICONS.table);
  svg.append(path);
  return svg;
}

/**
 * Create a button with an accessible name.
 * @param {string} label
 * @param {(event: Event) => void} onclick
 * @param {{icon?: string, kind?: 'primary' | 'plain' | 'danger' | 'icon', title?: string}} [look]
 * @returns {HTMLButtonElement}
 */
export function button(label, onclick, look = {}) {
  const bare = look.kind === 'icon';
  const properties = {
    type: 'button',
    class: `button ${look.kind ?? 'plain'}`,
    onclick,
    title: look.title ?? (bare ? label : ''),
    'aria-label': bare ? label : null,
  };
  return h('button', properties, look.icon ? icon(look.icon) : null, bare ? null : label);
}

/**
 * Return whether an element has the focus, also inside a shadow tree.
 * @param {HTMLElement} element
 */
export function isFocused(element) {
  const root = element.getRootNode();
  return (root instanceof ShadowRoot ? root.activeElement : document.activeElement) === element;
}

let ids = 0;

/**
 * Return an ID that no other element has.
 * @param {string} prefix
 */
export function uid(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}
