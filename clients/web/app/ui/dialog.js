/** Sheets over the page. They use the browser’s own dialog for focus, Escape, and screen readers. */

import { button, h, uid } from './dom.js';
import { words } from '../words/index.js';

/**
 * Open a sheet. Closing it removes it.
 * @param {string} title
 * @param {{body: (Node | string)[], foot?: Node[], onclose?: () => void, class?: string}} about
 * @returns {HTMLDialogElement}
 */
export function sheet(title, { body, foot = [], onclose, class: className = '' }) {
  const titleId = uid('title');
  const dialog = h(
    'dialog',
    { class: className, 'aria-labelledby': titleId },
    h(
      'div',
      { class: 'pane-head' },
      h('h2', { id: titleId }, title),
      button(words.ui.close, () => dialog.close(), { icon: 'close', kind: 'icon' }),
    ),
    h('div', { class: 'body' }, ...body),
    foot.length ? h('div', { class: 'foot' }, ...foot) : null,
  );
  dialog.addEventListener('close', () => {
    dialog.remove();
    onclose?.();
  });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Close all sheets, because the page behind them changed. */
export function closeSheets() {
  for (const dialog of /** @type {NodeListOf<HTMLDialogElement>} */ (document.querySelectorAll('dialog[open]')))
    dialog.close();
}

/**
 * Ask a question. Resolves with the key of the answer, or null when closed without one.
 * @param {string} title
 * @param {string} text
 * @param {{key: string, label: string, kind?: 'primary' | 'plain' | 'danger'}[]} answers
 * @returns {Promise<string | null>}
 */
export function ask(title, text, answers) {
  return new Promise((resolve) => {
    /** @type {string | null} */
    let given = null;
    const buttons = answers.map(({ key, label, kind }) =>
      button(
        label,
        () => {
          given = key;
          dialog.close();
        },
        { kind: kind ?? 'plain' },
      ),
    );
    const dialog = sheet(title, {
      body: [h('p', {}, text)],
      foot: buttons,
      onclose: () => resolve(given),
      class: 'question',
    });
    buttons[0]?.focus();
  });
}
