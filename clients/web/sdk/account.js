/** Logging in and out over HTTP. */

import { MoatError } from './errors.js';

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
    throw new MoatError('network', `The server cannot be reached: ${String(error)}`);
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new MoatError(answer.code ?? 'network', answer.message ?? `The server answered ${response.status}.`, { field: answer.field, details: answer });
  return answer;
}

/**
 * Return a new device's token.
 * @param {string} server
 * @param {{tenant: string, user: string, password: string, device?: string}} credentials
 * @param {typeof fetch} [request]
 * @returns {Promise<{device: string, token: string, tenant: string, user: string}>}
 */
export function requestToken(server, { tenant, user, password, device = 'browser' }, request = fetch) {
  return post(`${server}/api/login`, null, { tenant, user, password, device }, request);
}

/**
 * Revoke the device. A server that cannot be reached does not keep anyone from logging out.
 * @param {string} server
 * @param {string} token
 * @param {typeof fetch} [request]
 */
export async function revokeToken(server, token, request = fetch) {
  await post(`${server}/api/logout`, token, {}, request).catch(() => null);
}
