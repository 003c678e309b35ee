/** What the sync is doing, in words a person understands. */

/** @typedef {import('../../sdk/types.js').Status} Status */
/** @typedef {{tone: 'good' | 'busy' | 'away' | 'bad', text: string, progress: number | null, hint: string}} Described */

/** @type {Record<string, string>} what a problem that halts means for the person, and what helps */
const HALTED = {
  replaced: 'Moat is open in another browser with the same account on this device. It goes on here when you come back to this window.',
  ahead: 'The server was restored from a backup and knows less than this device. Your edits are kept. Start over to take the server’s data anew.',
  epoch: 'The server was set up anew. Your edits are kept. Start over to take the server’s data anew.',
  protocol: 'This version of the app does not fit the server. Reload the page.',
};

/** @type {Record<string, string>} */
const SIGNED_OUT = {
  forbidden: 'Your account is not allowed to sync at the moment.',
};

/**
 * Describe the status: `text` for the bar, `hint` for whoever asks.
 * @param {Status} status
 * @param {number} now ms since the epoch
 * @returns {Described}
 */
export function describe(status, now) {
  const share = status.progress;
  const percent = share === null ? '' : ` ${Math.floor(share * 100)} %`;
  const waiting = status.pending ? ` ${edits(status.pending)} will be sent when there is a connection.` : '';
  switch (status.phase) {
    case 'live': return status.pending
      ? { tone: 'busy', text: 'Saving', progress: null, hint: `${edits(status.pending)} on the way to the server.` }
      : { tone: 'good', text: 'Online', progress: null, hint: 'Everything here is what the server has.' };
    case 'connecting': return { tone: 'busy', text: 'Connecting', progress: null, hint: `Looking for the server.${waiting}` };
    case 'catching_up': return { tone: 'busy', text: `Catching up${percent}`, progress: share, hint: 'Taking in what others changed meanwhile.' };
    case 'downloading': return { tone: 'busy', text: `Downloading${percent}`, progress: share, hint: 'Getting all your data. You can close the app, it goes on later.' };
    case 'upgrading': return { tone: 'busy', text: 'Upgrading', progress: share, hint: 'An administrator changed the tables; this device follows.' };
    case 'repairing': return { tone: 'busy', text: `Repairing${percent}`, progress: share, hint: 'Something differed from the server and is put right.' };
    case 'offline': return { tone: 'away', text: 'Offline', progress: null, hint: `You can go on working.${waiting}${retry(status.retry_at, now)}` };
    case 'signed_out': return { tone: 'bad', text: 'Signed out', progress: null, hint: SIGNED_OUT[status.problem?.code ?? ''] ?? `Log in to sync.${waiting}` };
    case 'halted': return { tone: 'bad', text: 'Stopped', progress: null, hint: HALTED[status.problem?.code ?? ''] ?? status.problem?.message ?? 'The sync stopped.' };
    default: return { tone: 'away', text: 'Closed', progress: null, hint: 'The app let go of the data.' };
  }
}

/**
 * Say how many edits, in words.
 * @param {number} count
 */
export function edits(count) {
  return count === 1 ? '1 edit' : `${count} edits`;
}

/**
 * Say how safe the data is on this device.
 * @param {Status['storage']} storage
 * @param {boolean | null} kept whether the browser promised not to remove it
 */
export function safety(storage, kept) {
  if (!storage.durable) return 'This browser does not keep data: what is not sent is lost when you close the window.';
  if (kept === false) return 'Your data is kept on this device, also without a connection. When the device runs out of space, the browser may remove it, with edits that were not sent. Installing Moat as an app prevents that.';
  return 'Your data is kept on this device, also without a connection.';
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
 * Say that nobody can go on without a person: the token is gone, or the server is another one.
 * @param {Status} status
 * @returns {{title: string, text: string, action: 'login' | 'start_over' | null} | null}
 */
export function alarm(status) {
  if (status.phase === 'signed_out' && status.problem) {
    const kept = status.pending ? ` Your ${edits(status.pending)} that ${status.pending === 1 ? 'is' : 'are'} not sent yet ${status.pending === 1 ? 'is' : 'are'} kept.` : ' Your data is kept.';
    const why = SIGNED_OUT[status.problem.code] ?? 'This device was signed out by the server.';
    return { title: why, text: `You can go on working offline.${kept} Log in to sync again.`, action: 'login' };
  }
  if (status.phase === 'halted' && status.problem) {
    const restart = status.problem.code === 'ahead' || status.problem.code === 'epoch';
    return { title: 'The sync stopped.', text: HALTED[status.problem.code] ?? status.problem.message, action: restart ? 'start_over' : null };
  }
  return null;
}

/**
 * @param {number | null} at
 * @param {number} now
 */
function retry(at, now) {
  if (at === null) return '';
  const seconds = Math.max(0, Math.ceil((at - now) / 1000));
  return seconds ? ` Next try in ${seconds} s.` : ' Trying again.';
}
