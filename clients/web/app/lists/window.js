/** Virtual scrolling: which rows of a long list are visible, and the height of the scroll space. */

// Browsers cannot lay out more than about 33 million pixels (Firefox: 17.8). Taller lists are scaled down to this.
const MAX_HEIGHT = 15_000_000;

/**
 * @typedef {{first: number, count: number, top: number, height: number}} Window
 *   first row to draw, number of rows, y of the first row, and height of the scroll space; y and height in px
 */

/**
 * Return the window of a list. Beyond MAX_HEIGHT, one px of scrolling covers more than one px of the list, so that
 * any list can be scrolled to its end.
 * @param {{rows: number, rowHeight: number, scrollTop: number, viewport: number, overscan?: number}} list
 * @returns {Window}
 */
export function windowOf({ rows, rowHeight, scrollTop, viewport, overscan = 8 }) {
  const full = rows * rowHeight;
  const height = Math.min(full, MAX_HEIGHT);
  const reach = Math.max(1, height - viewport);
  const at =
    full > height ? (Math.min(Math.max(scrollTop, 0), reach) / reach) * (full - viewport) : Math.max(scrollTop, 0);
  const seen = Math.max(0, Math.floor(at / rowHeight));
  const first = Math.max(0, Math.min(seen, rows) - overscan);
  const count = Math.max(0, Math.min(rows, seen + Math.ceil(viewport / rowHeight) + 1 + overscan) - first);
  return { first, count, top: scrollTop + (first * rowHeight - at), height };
}

/**
 * Return the scroll position that shows a row; unchanged if the row is already visible.
 * @param {{rows: number, rowHeight: number, scrollTop: number, viewport: number, row: number}} list
 * @returns {number}
 */
export function scrollTo({ rows, rowHeight, scrollTop, viewport, row }) {
  const full = rows * rowHeight;
  const height = Math.min(full, MAX_HEIGHT);
  const scale = full > height ? (height - viewport) / (full - viewport) : 1;
  const at = scrollTop / scale;
  const y = row * rowHeight;
  if (y < at) return y * scale;
  if (y + rowHeight > at + viewport) return (y + rowHeight - viewport) * scale;
  return scrollTop;
}
