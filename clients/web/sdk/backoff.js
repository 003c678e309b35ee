/** PURE: how long to wait before trying again: exponential, with jitter so that a thousand clients do not come back at once. */

const FIRST_MS = 500;
const LONGEST_MS = 30_000;
/** Whoever is asked to wait longer, by a proxy with a wrong clock, looks again after an hour. A timer of over 24 days would fire at once. */
const LONGEST_ASKED_SECONDS = 3_600;

/**
 * @param {number} attempt 0 for the first wait
 * @param {() => number} random in [0, 1)
 * @param {number | null} [atLeastSeconds] what the server asked for
 * @returns {number} milliseconds
 */
export function backoff(attempt, random, atLeastSeconds = null) {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  const wait = ceiling / 2 + (random() * ceiling) / 2;
  return Math.round(atLeastSeconds === null ? wait : Math.max(wait, Math.min(atLeastSeconds, LONGEST_ASKED_SECONDS) * 1000 * (1 + random() / 4)));
}
