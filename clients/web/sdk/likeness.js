/** PURE: finding a text with LIKE, whatever its case. */

/**
 * Return the patterns of which a text that contains `words` matches one. SQLite's LIKE folds the case of ASCII only: beyond it the words are also
 * tried in lower case, in upper case and with capitals.
 * @param {string} words
 * @returns {string[]}
 */
export function patternsOf(words) {
  const text = words.replace(/[\\%_]/g, '\\$&');
  if (/^[\0-\x7f]*$/.test(text)) return [`%${text}%`];
  const lower = text.toLowerCase();
  const capitalised = lower.replace(/[\p{L}\p{N}\p{M}]+/gu, (word) => word.replace(/./u, (first) => first.toUpperCase()));
  return [...new Set([text, lower, text.toUpperCase(), capitalised])].map((each) => `%${each}%`);
}

/**
 * Return the condition that one of some expressions contains `words`, and its values.
 * @param {string[]} expressions
 * @param {string} words
 * @returns {{sql: string, params: string[]}}
 */
export function containing(expressions, words) {
  const patterns = patternsOf(words);
  const likes = expressions.flatMap((expression) => patterns.map(() => `${expression} LIKE ? ESCAPE '\\'`));
  return { sql: likes.length ? `(${likes.join(' OR ')})` : '0', params: expressions.flatMap(() => patterns) };
}
