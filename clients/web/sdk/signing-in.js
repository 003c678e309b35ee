/** Sign in, as the same user or another one, and sign out. A user never sees data that another one left. */

import { requestToken, revokeToken, serverAddress } from './account.js';
import { MoatError } from './errors.js';
import { words } from './words.js';

/** Keys of `device_state` that belong to one user; the next user must not find them. */
const PERSONAL = ['user', 'profile', 'access', 'unanswered', 'answers'];

export class SigningIn {
  /** @param {import('./leader.js').Leader} leader */
  constructor(leader) {
    this.leader = leader;
  }

  /** @param {any} credentials */
  async login({ server: named, ...credentials }) {
    const { leader } = this;
    const server = this.#serverFor(named);
    const elsewhere = leader.server !== '' && leader.server !== server;
    if (elsewhere) this.#rejectIfUnsent('server');
    const { device, token, tenant, user } = await requestToken(
      server,
      credentials,
      elsewhere ? null : this.#former(),
      leader.options.fetch,
    );
    const { replica } = leader;
    const other =
      (elsewhere && 'server') ||
      (replica.state.tenant && replica.state.tenant !== tenant && 'tenant') ||
      (replica.local('user') && replica.local('user') !== user && 'user');
    if (other) {
      this.#rejectIfUnsent(other);
      this.#forget();
    }
    // A token is never sent to another server.
    if (elsewhere) leader.event({ on: 'signed_in', token: null, device: null });
    replica.sql.transaction(() => {
      for (const [key, value] of Object.entries({ device, token, user, server, devices: [...replica.devices, device] }))
        replica.setLocal(key, value);
    });
    replica.devices.add(device);
    await leader.flush();
    leader.engine.state = { ...replica.state };
    leader.event({ on: 'signed_in', token, device });
    return { tenant, user, device };
  }

  /** @param {{forget?: boolean}} [options] `forget`: delete all data of this user from the device */
  async logout({ forget = false } = {}) {
    const { leader } = this;
    const { replica, options } = leader;
    const token = replica.local('token');
    if (token) void revokeToken(leader.server, token, options.fetch);
    replica.setLocal('token', null);
    leader.event({ on: 'signed_in', token: null, device: null });
    if (forget) {
      replica.sql.run('DELETE FROM main."overlays"');
      for (const { file } of replica.local('damaged') ?? []) await options.storage.remove(file);
      replica.setLocal('damaged', null);
      this.#forget();
      leader.engine.state = { ...replica.state };
      await options.parts.clear();
      // Deleted data remains in free pages and in the write-ahead log. VACUUM needs exclusive access, so scans are
      // aborted.
      replica.sql.abortScans();
      for (const statement of ['VACUUM', 'PRAGMA main.wal_checkpoint(TRUNCATE)']) replica.sql.db.exec(statement);
    }
    await leader.flush();
  }

  #forget() {
    for (const key of PERSONAL) this.leader.replica.setLocal(key, null);
    this.leader.reset();
  }

  /** @param {string} other what changed: server, tenant, or user */
  #rejectIfUnsent(other) {
    if (!this.leader.replica.sql.value('SELECT count(*) FROM main."overlays"')) return;
    throw new MoatError(`other_${other}`, words.unsentOfAnother(other));
  }

  /** Return the previous device, which the server readmits even if it was revoked, so that no edit is applied twice. */
  #former() {
    const { replica } = this.leader;
    const device = replica.local('device');
    return device ? { device_id: String(device), last_op_id: Number(replica.local('last_op_id') ?? 0) } : null;
  }

  /**
   * @param {string | undefined} named address the user entered
   * @returns {string}
   */
  #serverFor(named) {
    const { leader } = this;
    const server = named === undefined ? leader.server : serverAddress(named);
    if (!server) throw new MoatError('bad_server', words.noServer);
    if (leader.options.server && named !== undefined && server !== leader.options.server)
      throw new MoatError('bad_server', words.belongsToServer(leader.options.server));
    return server;
  }
}
