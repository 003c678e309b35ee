/** The back link on phones, which show one pane at a time. */

import { address } from '../router.js';
import { h, icon } from '../ui/dom.js';

/**
 * @param {string} label
 * @param {import('../router.js').Route} to
 */
export function back(label, to) {
  return h(
    'a',
    { class: 'button icon only-phone', href: address(to), 'aria-label': label, title: label },
    icon('back'),
  );
}
