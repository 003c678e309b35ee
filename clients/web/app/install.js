/** Install the app: through the browser’s own prompt, or with instructions where there is none. */

import { native } from './native.js';
import { words } from './words/index.js';

/** @type {(Event & {prompt: () => Promise<unknown>}) | null} */
let asked = null;

addEventListener('beforeinstallprompt', (event) => {
  event.preventDefault();
  asked = /** @type {any} */ (event);
});
addEventListener('appinstalled', () => {
  asked = null;
});

export const install = {
  /** Whether `ask` can show the prompt. */
  get ready() {
    return asked !== null;
  },

  /** Show the prompt. The browser allows it once. */
  async ask() {
    const question = asked;
    asked = null;
    await question?.prompt();
  },

  /** Instructions where no prompt exists; null where the app is installed or cannot be. */
  get how() {
    const installed = matchMedia('(display-mode: standalone)').matches || Reflect.get(navigator, 'standalone') === true;
    return !native && !installed && /iPhone|iPad/.test(navigator.userAgent) ? words.start.install : null;
  },
};
