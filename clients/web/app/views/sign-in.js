/** Sign in and out. */

import { builtFor, native } from '../native.js';
import { ask, sheet } from '../ui/dialog.js';
import { button, h, uid } from '../ui/dom.js';
import { words } from '../words/index.js';

/** @typedef {import('../app.js').App} App */

const LOGO = new URL('../icons/icon.svg', import.meta.url).href;
const REMEMBERED = 'moat.tenant';

/**
 * Create the sign-in page.
 * @param {App} app
 * @returns {HTMLElement}
 */
export function signInPage(app) {
  const { pending } = app.status;
  return h(
    'main',
    { class: 'sign-in' },
    h(
      'div',
      { class: 'card' },
      h(
        'div',
        { class: 'welcome' },
        h('img', { src: LOGO, alt: '', width: 56, height: 56 }),
        h('h1', {}, words.brand),
        h('p', {}, words.tagline),
      ),
      pending ? h('p', { class: 'notice warn' }, words.signIn.unsent(pending)) : null,
      signInForm(app),
    ),
  );
}

/**
 * Ask for the password again in a sheet. Work continues underneath.
 * @param {App} app
 */
export function signInSheet(app) {
  const dialog = sheet(words.signIn.title, {
    body: [h('p', { class: 'soft' }, words.signIn.text), signInForm(app, () => dialog.close())],
  });
}

/**
 * @param {App} app
 * @param {() => void} [done] closes the sheet, if the form is in one
 */
function signInForm(app, done) {
  const { status } = app;
  // Only a native app asks for the server, and only on the sign-in page.
  const server = native && !done ? input('server', 'url', status.server || builtFor) : null;
  if (server) Object.assign(server, { type: 'url', placeholder: 'https://' });
  const tenant = input('tenant', 'organization', status.tenant ?? localStorage.getItem(REMEMBERED) ?? '');
  const user = input('user', 'username', status.user ?? '');
  const password = input('password', 'current-password', '');
  password.type = 'password';
  const error = h('p', { class: 'error', role: 'alert' });
  const submit = button(words.signIn.submit, () => {}, { kind: 'primary' });
  submit.type = 'submit';
  const needed = [...(server ? [server] : []), tenant, user, password];
  const form = h(
    'form',
    { noValidate: true },
    server && labelled(words.signIn.server, server),
    labelled(words.signIn.company, tenant),
    labelled(words.signIn.user, user),
    labelled(words.signIn.password, password),
    error,
    submit,
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void attempt();
  });
  async function attempt() {
    const missing = needed.find((one) => !one.value.trim());
    const required = server ? words.signIn.serverRequired : words.signIn.companyRequired;
    error.textContent = missing ? required : '';
    if (missing) return missing.focus();
    submit.disabled = true;
    submit.textContent = words.signIn.submitting;
    try {
      await app.moat.login({
        tenant: tenant.value.trim(),
        user: user.value.trim(),
        password: password.value,
        device: deviceName(),
        ...(server ? { server: server.value } : {}),
      });
      localStorage.setItem(REMEMBERED, tenant.value.trim());
      void app.keep();
      done?.();
    } catch (failure) {
      const code = /** @type {any} */ (failure).code;
      error.textContent =
        words.signIn.failedBecause[code] ?? (failure instanceof Error ? failure.message : String(failure));
      (code === 'bad_server' && server ? server : password).select();
    } finally {
      submit.disabled = false;
      submit.textContent = words.signIn.submit;
    }
  }
  const first = needed.find((one) => !one.value);
  requestAnimationFrame(() => first?.focus());
  return form;
}

/**
 * Sign out, after asking what to do with the data.
 * @param {App} app
 */
export async function signOut(app) {
  const { status } = app;
  if (status.phase === 'signed_out') return signInSheet(app);
  const unsent = status.pending + status.conflicts + status.rejected + status.parked;
  const answer = await ask(words.signOut.title, words.signOut.text(unsent), [
    { key: 'keep', label: words.signOut.keep, kind: unsent ? 'primary' : 'plain' },
    { key: 'forget', label: words.signOut.remove, kind: 'danger' },
  ]);
  if (answer) await app.attempt(() => app.moat.logout({ forget: answer === 'forget' }));
}

/**
 * @param {string} name
 * @param {string} autocomplete
 * @param {string} value
 */
function input(name, autocomplete, value) {
  return h('input', {
    id: uid(name),
    name,
    autocomplete,
    value,
    required: true,
    autocapitalize: 'none',
    spellcheck: false,
  });
}

/**
 * @param {string} text
 * @param {HTMLInputElement} element
 */
function labelled(text, element) {
  return h('div', { class: 'control' }, h('label', { for: element.id }, text), element);
}

/** Return the name by which an administrator recognizes this device. */
function deviceName() {
  const { userAgent } = navigator;
  const system =
    /iPhone|iPad/.exec(userAgent)?.[0] ??
    (/Android/.test(userAgent)
      ? 'Android'
      : /Mac OS X/.test(userAgent)
        ? 'Mac'
        : /Windows/.test(userAgent)
          ? 'Windows'
          : 'Linux');
  const browser = /Firefox/.test(userAgent)
    ? 'Firefox'
    : /Edg\//.test(userAgent)
      ? 'Edge'
      : /Chrome\//.test(userAgent)
        ? 'Chrome'
        : 'Safari';
  return words.signIn.deviceName(native ? words.signIn.app : browser, system);
}
