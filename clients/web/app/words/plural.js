/** Counts in messages. The language of the app decides which form fits; the browser decides how digits look. */

const rules = new Intl.PluralRules('en');

/**
 * Return the form of a message that fits a count; `#` in it stands for the count.
 * @param {number} count
 * @param {{one: string, other: string} & Partial<Record<Intl.LDMLPluralRule, string>>} forms
 * @returns {string}
 */
export function plural(count, forms) {
  return (forms[rules.select(count)] ?? forms.other).replaceAll('#', number(count));
}

/**
 * Return a count as text.
 * @param {number} count
 */
export const number = (count) => new Intl.NumberFormat().format(count);

/**
 * Return “1 edit”, “2 edits”.
 * @param {number} count
 */
export const edits = (count) => plural(count, { one: '# edit', other: '# edits' });
