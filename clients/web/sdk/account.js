/** HTTP calls of the account: sign in, sign out, and record history. */

import { MoatError } from './errors.js';
import { words } from './words.js';

const THIS_MACHINE = new Set(['localhost', '127.0.0.1', '[::1]']);

/**
 * Return the origin of a server address as a user typed or copied it; without a scheme it is https.
 *
 * Plain http is accepted for this machine only, because anywhere else others could read the password. Throws
 * `bad_server`.
 * @param {string} text
 * @returns {string}
 */
export function serverAddress(text) {
  let url;
  try {
    url = new URL(/^\s*[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `https://${text.trim()}`);
  } catch {
    throw new MoatError('bad_server', words.badAddress);
  }
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && THIS_MACHINE.has(url.hostname)))
    throw new MoatError('bad_server', words.addressNotHttps);
  if (url.username || url.password) throw new MoatError('bad_server', words.addressWithPassword);
  return url.origin;
}

/**
 * @param {string} url
 * @param {string | null} token
 * @param {unknown} body
 * @param {typeof fetch} request
 * @returns {Promise<any>}
 */
async function post(url, token, body, request) {
  let response;
  try {
    response = await request(url, {
      method: 'POST', credentials: 'omit', body: JSON.stringify(body), signal: AbortSignal.timeout(20_000),
      headers: { 'Content-Type': 'application/json', ...(token ? { Authorization: `Bearer ${token}` } : {}) },
    });
  } catch (error) {
    throw new MoatError('network', words.unreachable(error));
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({}));
  if (!response.ok)
    throw new MoatError(answer.code ?? 'network', answer.message ?? words.badStatus(response.status), {
      field: answer.field,
      details: answer,
    });
  return answer;
}

/**
 * Return the token of a new device, or of the `former` one, even if it was revoked: the server then still recognizes
 * the ops it sent.
 * @param {string} server
 * @param {{tenant: string, user: string, password: string, device?: string}} credentials
 * @param {{device_id: string, last_op_id: number} | null} former the previous device, and its
 *   highest op_id
 * @param {typeof fetch} [request]
 * @returns {Promise<{device: string, token: string, tenant: string, user: string}>}
 */
export function requestToken(server, { tenant, user, password, device = 'browser' }, former, request = fetch) {
  return post(`${server}/api/login`, null, { tenant, user, password, device, ...former }, request);
}

/**
 * Revoke the device. Signing out succeeds even if the server is unreachable.
 * @param {string} server
 * @param {string} token
 * @param {typeof fetch} [request]
 */
export async function revokeToken(server, token, request = fetch) {
  await post(`${server}/api/logout`, token, {}, request).catch(() => null);
}

/**
 * Return the changes of one record, newest first, as far back as the server’s log reaches. `next` is the cursor of the
 * next page. Throws `network`.
 * @param {string} server
 * @param {string | null} token
 * @param {{table: string, id: string, cursor?: string, limit?: number}} record
 * @param {typeof fetch} [request]
 * @returns {Promise<{results: any[], next: string | null}>}
 */
export async function requestHistory(server, token, { table, id, cursor, limit = 50 }, request = fetch) {
  if (!token) throw new MoatError('network', words.signInForHistory);
  const query = new URLSearchParams({ limit: String(limit), ...(cursor ? { cursor } : {}) });
  const url = `${server}/api/records/${encodeURIComponent(table)}/${encodeURIComponent(id)}/history/?${query}`;
  let response;
  try {
    response = await request(url, {
      credentials: 'omit',
      headers: { Authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(20_000),
    });
  } catch (error) {
    throw new MoatError('network', words.unreachable(error));
  }
  const answer = await response.json().catch(() => ({}));
  // A record that exists only on this device has no history yet.
  if (response.status === 404) return { results: [], next: null };
  if (!response.ok) throw new MoatError(answer.code ?? 'network', answer.message ?? words.badStatus(response.status));
  return answer;
}
