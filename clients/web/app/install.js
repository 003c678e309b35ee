/** Installing the app: the browser's own question where it has one, a word on how where it has none. */

import { native } from './native.js';
import { words } from './words/index.js';

/** @type {(Event & {prompt: () => Promise<unknown>}) | null} */
let asked = null;

addEventListener('beforeinstallprompt', (event) => {
  event.preventDefault();
  asked = /** @type {any} */ (event);
});
addEventListener('appinstalled', () => { asked = null; });

export const install = {
  /** Whether `ask` can ask. */
  get ready() {
    return asked !== null;
  },

  /** Ask the person; the browser does it once. */
  async ask() {
    const question = asked;
    asked = null;
    await question?.prompt();
  },

  /** How a person installs it where nobody can be asked; null where it is installed, or there is no way. */
  get how() {
    const installed = matchMedia('(display-mode: standalone)').matches || Reflect.get(navigator, 'standalone') === true;
    return !native && !installed && /iPhone|iPad/.test(navigator.userAgent) ? words.start.install : null;
  },
};
