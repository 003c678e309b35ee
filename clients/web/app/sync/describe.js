/** Describe the sync in words for the user. */

import { words } from '../words/index.js';

/** @typedef {import('../../sdk/index.js').Status} Status */
/** @typedef {'good' | 'busy' | 'away' | 'bad'} Tone */
/** @typedef {{tone: Tone, text: string, progress: number | null, hint: string}} Described */

const { sync } = words;

/**
 * Describe the status: `text` for the bar, `hint` for its sheet.
 * @param {Status} status
 * @param {number} now ms since the epoch
 * @returns {Described}
 */
export function describe(status, now) {
  const { phase, pending, problem, progress: share } = status;
  switch (phase) {
    case 'live':
      return pending
        ? described('busy', sync.syncing, sync.syncingHint(pending))
        : described('good', sync.online, sync.onlineHint);
    case 'connecting':
      return described('busy', sync.connecting, sync.connectingHint(pending));
    case 'catching_up':
      return described('busy', sync.catchingUp(share), sync.catchingUpHint, share);
    case 'downloading':
      return described('busy', sync.downloading(share), sync.downloadingHint, share);
    case 'upgrading':
      return described('busy', sync.upgrading, sync.upgradingHint, share);
    case 'repairing':
      return described('busy', sync.repairing(share), sync.repairingHint, share);
    case 'offline':
      return described('away', sync.offline, sync.offlineHint(pending, secondsUntil(status.retry_at, now)));
    case 'signed_out':
      return described('bad', sync.signedOut, signedOutBecause(problem) ?? sync.signedOutHint(pending));
    case 'halted':
      return described('bad', sync.halted, haltedBecause(problem) ?? sync.stoppedTitle);
    default:
      return described('away', sync.closed, sync.closedHint);
  }
}

/**
 * @param {Tone} tone
 * @param {string} text
 * @param {string} hint
 * @param {number | null} [progress]
 * @returns {Described}
 */
const described = (tone, text, hint, progress = null) => ({ tone, text, hint, progress });

/** @param {Status['problem']} problem */
const signedOutBecause = (problem) => sync.signedOutBecause[problem?.code ?? ''];

/** @param {Status['problem']} problem */
const haltedBecause = (problem) => sync.haltedBecause[problem?.code ?? ''] ?? problem?.message;

/**
 * @param {number | null} at ms since the epoch
 * @param {number} now
 */
function secondsUntil(at, now) {
  return at === null ? null : Math.max(0, Math.ceil((at - now) / 1000));
}

/**
 * Say how safe the data is on this device.
 * @param {Status['storage']} storage
 * @param {boolean | null} kept whether the browser promised to keep the data
 */
export function safety(storage, kept) {
  if (!storage.durable) return sync.notStored;
  return kept === false ? sync.storedUnprotected : sync.stored;
}

/**
 * Return the name of a security profile.
 * @param {any} profile as in `status().profile`
 * @returns {string | null}
 */
export function profileName(profile) {
  return (typeof profile === 'string' ? profile : profile?.name) || null;
}

/**
 * Return the alert to show when the sync cannot continue by itself: the token was revoked, or the server was replaced.
 * @param {Status} status
 * @returns {{title: string, text: string, action: 'login' | 'start_over' | null} | null}
 */
export function alarm({ phase, pending, problem }) {
  if (!problem) return null;
  if (phase === 'signed_out') {
    return {
      title: signedOutBecause(problem) ?? sync.signedOutTitle,
      text: sync.signedOutText(pending),
      action: 'login',
    };
  }
  if (phase !== 'halted') return null;
  const restart = problem.code === 'ahead' || problem.code === 'epoch';
  return { title: sync.stoppedTitle, text: haltedBecause(problem) ?? '', action: restart ? 'start_over' : null };
}
