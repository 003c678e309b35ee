/** Pure: how long to wait before a retry: exponential, with jitter so that many clients do not return at once. */

const FIRST_MS = 500;
const LONGEST_MS = 30_000;
/**
 * Longest wait a server may request: a wrong clock in a proxy could ask for weeks, and a timer of over 24 days fires at
 * once.
 */
const LONGEST_ASKED_SECONDS = 3_600;

/**
 * @param {number} attempt 0 for the first wait
 * @param {() => number} random in [0, 1)
 * @param {number | null} [atLeastSeconds] the wait the server requested
 * @returns {number} milliseconds
 */
export function backoff(attempt, random, atLeastSeconds = null) {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  const wait = ceiling / 2 + (random() * ceiling) / 2;
  return Math.round(
    atLeastSeconds === null
      ? wait
      : Math.max(wait, Math.min(atLeastSeconds, LONGEST_ASKED_SECONDS) * 1000 * (1 + random() / 4)),
  );
}
