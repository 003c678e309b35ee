/** Who this browser is to the server: logging in, as the same or as somebody else, and out. Nobody sees what another left. */

import { requestToken, revokeToken, serverAddress } from './account.js';
import { MoatError } from './errors.js';
import { words } from './words.js';

/** What a log-in or the server's answer to it puts into `device_state`, and the next person must not find. */
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
    const { device, token, tenant, user } = await requestToken(server, credentials, elsewhere ? null : this.#former(), leader.options.fetch);
    const { replica } = leader;
    const other = (elsewhere && 'server') || (replica.state.tenant && replica.state.tenant !== tenant && 'tenant') || (replica.local('user') && replica.local('user') !== user && 'user');
    if (other) {
      this.#rejectIfUnsent(other);
      this.#forget();
    }
    // The token of one server is never shown to another.
    if (elsewhere) leader.event({ on: 'signed_in', token: null, device: null });
    replica.sql.transaction(() => {
      for (const [key, value] of Object.entries({ device, token, user, server, devices: [...replica.devices, device] })) replica.setLocal(key, value);
    });
    replica.devices.add(device);
    await leader.flush();
    leader.engine.state = { ...replica.state };
    leader.event({ on: 'signed_in', token, device });
    return { tenant, user, device };
  }

  /** @param {{forget?: boolean}} [options] `forget`: leave nothing of this person's on the device */
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
      // What was deleted still stands in pages that are free, and in the log ahead of the file. Nothing may be reading meanwhile.
      replica.sql.abortScans();
      for (const statement of ['VACUUM', 'PRAGMA main.wal_checkpoint(TRUNCATE)']) replica.sql.db.exec(statement);
    }
    await leader.flush();
  }

  #forget() {
    for (const key of PERSONAL) this.leader.replica.setLocal(key, null);
    this.leader.reset();
  }

  /** @param {string} other what differs from before */
  #rejectIfUnsent(other) {
    if (!this.leader.replica.sql.value('SELECT count(*) FROM main."overlays"')) return;
    throw new MoatError(`other_${other}`, words.unsentOfAnother(other));
  }

  /** The device this replica was: the server lets one in again that was revoked, so that no edit it took is taken twice. */
  #former() {
    const { replica } = this.leader;
    const device = replica.local('device');
    return device ? { device_id: String(device), last_op_id: Number(replica.local('last_op_id') ?? 0) } : null;
  }

  /**
   * @param {string | undefined} named by the person who logs in
   * @returns {string}
   */
  #serverFor(named) {
    const { leader } = this;
    const server = named === undefined ? leader.server : serverAddress(named);
    if (!server) throw new MoatError('bad_server', words.noServer);
    if (leader.options.server && named !== undefined && server !== leader.options.server) throw new MoatError('bad_server', words.belongsToServer(leader.options.server));
    return server;
  }
}
