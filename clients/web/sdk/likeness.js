/** Pure: find a text with SQL LIKE, ignoring case. */

/**
 * Return LIKE patterns; a text that contains `words` matches at least one. SQLite folds the case of ASCII only, so
 * other words are also tried in lower case, in upper case, and capitalized.
 * @param {string} words
 * @returns {string[]}
 */
export function patternsOf(words) {
  const text = words.replace(/[\\%_]/g, '\\$&');
  if (/^[\0-\x7f]*$/.test(text)) return [`%${text}%`];
  const lower = text.toLowerCase();
  const capitalised = lower.replace(/[\p{L}\p{N}\p{M}]+/gu, (word) =>
    word.replace(/./u, (first) => first.toUpperCase()),
  );
  return [...new Set([text, lower, text.toUpperCase(), capitalised])].map((each) => `%${each}%`);
}

/**
 * Return the condition that one of the expressions contains `words`, and its parameters.
 * @param {string[]} expressions
 * @param {string} words
 * @returns {{sql: string, params: string[]}}
 */
export function containing(expressions, words) {
  const patterns = patternsOf(words);
  const likes = expressions.flatMap((expression) => patterns.map(() => `${expression} LIKE ? ESCAPE '\\'`));
  return { sql: likes.length ? `(${likes.join(' OR ')})` : '0', params: expressions.flatMap(() => patterns) };
}
