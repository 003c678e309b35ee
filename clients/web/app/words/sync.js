/** Messages about the sync, the account, and what has not reached the server yet. */

import { edits, number, plural } from './plural.js';

/** @type {(share: number | null) => string} */
const percent = (share) => (share === null ? '' : ` ${Math.floor(share * 100)}%`);
/** @type {(pending: number) => string} */
const willSync = (pending) => (pending ? ` ${edits(pending)} will sync once this device is connected.` : '');

/** What the sync is doing: the status bar, its sheet, and the alert when sync cannot continue. */
export const sync = {
  online: 'Online',
  onlineHint: 'Everything is synced.',
  syncing: 'Syncing',
  /** @type {(pending: number) => string} */
  syncingHint: (pending) => `Sending ${edits(pending)} to the server.`,
  connecting: 'Connecting',
  /** @type {(pending: number) => string} */
  connectingHint: (pending) => `Connecting to the server.${willSync(pending)}`,
  /** @type {(share: number | null) => string} */
  catchingUp: (share) => `Catching up${percent(share)}`,
  catchingUpHint: 'Getting the latest changes.',
  /** @type {(share: number | null) => string} */
  downloading: (share) => `Downloading${percent(share)}`,
  downloadingHint: 'Downloading your data. If you close the app, the download resumes next time.',
  upgrading: 'Updating',
  upgradingHint: 'An administrator changed the data model. This device is updating.',
  /** @type {(share: number | null) => string} */
  repairing: (share) => `Repairing${percent(share)}`,
  repairingHint: 'Some data on this device didn’t match the server. Repairing it now.',
  offline: 'Offline',
  /** @type {(pending: number, seconds: number | null) => string} `seconds` until the next attempt, null for none */
  offlineHint: (pending, seconds) => {
    const retry = seconds === null ? '' : seconds ? ` Retrying in ${seconds} s.` : ' Retrying now.';
    return `You can keep working.${willSync(pending)}${retry}`;
  },
  signedOut: 'Signed out',
  /** @type {(pending: number) => string} */
  signedOutHint: (pending) => `Sign in to sync.${willSync(pending)}`,
  halted: 'Sync stopped',
  closed: 'Closed',
  closedHint: 'The app has closed its local database.',
  stoppedTitle: 'Sync stopped.',
  signedOutTitle: 'The server signed this device out.',
  /** @type {(pending: number) => string} */
  signedOutText: (pending) => {
    const kept = pending
      ? plural(pending, {
          one: 'Your unsent edit is safe on this device.',
          other: 'Your # unsent edits are safe on this device.',
        })
      : 'Your data is safe on this device.';
    return `You can keep working offline. ${kept} Sign in to resume syncing.`;
  },
  /** @type {Record<string, string>} by the code of a problem that halts the sync */
  haltedBecause: {
    replaced:
      'Moat is open in another browser that uses this device’s sign-in. Return to this window to continue here.',
    ahead:
      'The server was restored from a backup that is older than this device’s data. Your edits are safe. ' +
      'Start over to download the server’s current data.',
    epoch: 'The server was reset. Your edits are safe. Start over to download the server’s current data.',
    protocol: 'This version of the app is out of date. Reload the page to update it.',
    insecure: 'The server requires an encrypted connection. Open the page with https.',
  },
  /** @type {Record<string, string>} by the code of a problem that signs the device out */
  signedOutBecause: {
    forbidden: 'Your account can’t sync right now. Ask your administrator for access.',
  },
  stored: 'Your data is stored on this device and available offline.',
  storedUnprotected:
    'Your data is stored on this device and available offline. If storage runs low, the browser may delete it, ' +
    'including edits that haven’t synced. Install Moat as an app to prevent this.',
  notStored: 'This browser can’t store data. Edits that haven’t synced are lost when you close the window.',
};

/** The bar at the top, its status sheet, and the account menu. */
export const account = {
  home: 'Moat home',
  progress: 'Sync',
  menu: 'Account and diagnostics',
  title: 'Account',
  /** @type {(text: string, pending: number) => string} */
  pending: (text, pending) => `${text} · ${pending} pending`,
  /** @type {(count: number) => string} */
  attention: (count) => plural(count, { one: '# edit needs your attention', other: '# edits need your attention' }),
  viewOutbox: 'View outbox',
  outbox: 'Outbox',
  diagnostics: 'Diagnostics',
  install: 'Install app',
  signInAgain: 'Sign in again',
  signOut: 'Sign out',
};

export const signIn = {
  pageTitle: 'Sign in · Moat',
  title: 'Sign in again',
  text: 'Your data and unsent edits stay on this device.',
  submit: 'Sign in',
  submitting: 'Signing in…',
  server: 'Server',
  company: 'Company',
  user: 'User name',
  password: 'Password',
  companyRequired: 'Company, user name, and password are required.',
  serverRequired: 'Server, company, user name, and password are required.',
  /** @type {(pending: number) => string} */
  unsent: (pending) =>
    plural(pending, {
      one: 'This device has # unsent edit. Sign in with the same account to sync it.',
      other: 'This device has # unsent edits. Sign in with the same account to sync them.',
    }),
  /** @type {Record<string, string>} by the code of the error */
  failedBecause: {
    bad_login: 'The company, user name, or password is incorrect.',
    too_many_devices: 'This user has too many devices. Ask an administrator to revoke one that is no longer used.',
    network: 'Can’t reach the server. Check your connection and try again.',
  },
  app: 'App',
  /** @type {(app: string, system: string) => string} the name by which an administrator knows the device */
  deviceName: (app, system) => `${app} on ${system}`,
};

export const signOut = {
  title: 'Sign out?',
  /** @type {(unsynced: number) => string} */
  text: (unsynced) => {
    const warning = unsynced
      ? plural(unsynced, {
          one: ' You have # edit that hasn’t synced. Removing the data deletes it.',
          other: ' You have # edits that haven’t synced. Removing the data deletes them.',
        })
      : '';
    return `Keep your data on this device for next time, or remove it.${warning}`;
  },
  keep: 'Sign out and keep data',
  remove: 'Sign out and remove data',
};

export const alerts = {
  label: 'Needs attention',
  signIn: 'Sign in',
  startOver: 'Start over',
  /** @type {(count: number) => string} */
  conflictTitle: (count) => plural(count, { one: 'Conflict.', other: 'Conflicts.' }),
  /** @type {(count: number) => string} */
  conflictText: (count) =>
    plural(count, {
      one: 'Someone else changed the same fields. Choose which version to keep.',
      other: '# of your edits conflict with other people’s changes. Choose which versions to keep.',
    }),
  review: 'Review',
  notStoredTitle: 'This browser can’t store data.',
  notStoredText: 'Stay online and keep this window open until everything has synced.',
  fullTitle: 'Storage is full.',
  fullText: 'Free up space so that your edits can be saved.',
  unprotectedTitle: 'Some edits are only on this device.',
  unprotectedText: 'The browser may delete them if storage runs low. Install the app to keep them safe.',
  install: 'Install',
  gotIt: 'Got it',
  updateTitle: 'A new version is ready.',
  updateText: 'Reload to update.',
  reload: 'Reload',
  startOverTitle: 'Start over with the server’s data?',
  startOverText:
    'This replaces the data on this device with the server’s current data. Edits that haven’t synced are kept.',
  cancel: 'Cancel',
};

export const outbox = {
  title: 'Outbox',
  home: 'Home',
  conflicts: 'Conflicts',
  conflictsText: 'Someone else changed the same fields. Choose which version to keep.',
  rejected: 'Rejected',
  rejectedText: 'The server couldn’t accept these edits. Fix and resend them, or discard them.',
  waiting: 'Waiting',
  waitingText: 'These sync automatically when you’re online.',
  /** @type {(label: string, count: number) => string} */
  section: (label, count) => `${label} (${number(count)})`,
  empty: 'Everything is synced',
  emptyText: 'Edits you make offline wait here until they sync.',
  /** @type {(count: number) => string} */
  notShown: (count) => `plus ${edits(count)} not shown`,
  /** @type {(type: string, verb: string, when: string) => string} after the title of a record */
  entry: (type, verb, when) => ` · ${type} · ${verb.toLowerCase()} ${when}`,
  review: 'Review',
  undo: 'Undo',
  fix: 'Fix',
  resend: 'Resend',
  discard: 'Discard',
  discardTitle: 'Discard this edit?',
  /** @type {(title: string) => string} */
  discardText: (title) => `Your edit to “${title}” will be lost.`,
  cancel: 'Cancel',
};

export const undo = {
  undo: 'Undo',
  done: 'Undone',
  notAllowed: 'Couldn’t undo: the edit has already synced, and your profile doesn’t let you reverse it.',
};

export const diagnostics = {
  title: 'Diagnostics',
  home: 'Home',
  compare: 'Compare with server',
  protect: 'Protect local data',
  copy: 'Copy details',
  copied: 'Copied',
  /** By tier. */
  storage: ['', 'Browser file system (OPFS)', 'IndexedDB', 'Memory only (lost when you close the window)'],
  sections: { sync: 'Sync', device: 'On this device', account: 'Account', tables: 'Tables' },
  facts: {
    status: 'Status',
    problem: 'Problem',
    unsynced: 'Unsynced edits',
    position: 'Position',
    schema: 'Schema version',
    tab: 'This tab',
    storage: 'Storage',
    protected: 'Protected from deletion',
    size: 'Size',
    offline: 'Opens offline',
    app: 'App version',
    sqlite: 'SQLite version',
    company: 'Company',
    user: 'User name',
    profile: 'Profile',
    device: 'Device',
    channel: 'Channel',
    server: 'Server',
    epoch: 'Server epoch',
    chain: 'Chain hash',
    /** @type {(table: string) => string} */
    records: (table) => `Records in ${table}`,
  },
  none: 'None',
  yes: 'Yes',
  /** @type {(counts: Record<'pending' | 'acked' | 'conflict' | 'rejected' | 'parked', number>) => string} */
  unsynced: ({ pending, acked, conflict, rejected, parked }) =>
    `${pending} waiting, ${acked} confirming, ${conflict} in conflict, ${rejected} rejected, ${parked} on hold`,
  /** @type {(cursor: number, head: number) => string} */
  position: (cursor, head) => {
    const behind = plural(Math.max(0, head - cursor), { one: '# change behind', other: '# changes behind' });
    return `${number(cursor)} of ${number(head)}, ${behind}`;
  },
  leader: 'Connected to the server',
  follower: 'Syncs through another tab',
  unprotected: 'No. The browser may delete it if storage runs low. Install Moat as an app to prevent this.',
  /** @type {(bytes: number) => string} */
  size: (bytes) => `${number(Math.round(bytes / 1024))} KiB`,
  opensOffline: 'Yes',
  opensOfflineLater: 'After the next reload',
  comparing: 'Comparing tables…',
  waiting: 'Waiting for a connection…',
  equal: 'Matches the server.',
  /** @type {(count: number) => string} */
  equalRepaired: (count) =>
    plural(count, { one: 'Matches the server; # record repaired.', other: 'Matches the server; # records repaired.' }),
  /** @type {(count: number) => string} */
  repaired: (count) =>
    plural(count, {
      one: '# record didn’t match and was repaired.',
      other: '# records didn’t match and were repaired.',
    }),
  willKeep: 'The browser will keep your data',
  mayNotKeep: 'The browser hasn’t promised to keep your data. Installing the app helps.',
};
