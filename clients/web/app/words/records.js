/** Messages of lists, forms, and single records. */

import { edits, plural } from './plural.js';

/** @typedef {{title: string, mine: string, theirs: string}} Asked what a conflict asks, and the names of its buttons */

/** Values of fields, in forms, lists and histories. */
export const values = {
  yes: 'Yes',
  no: 'No',
  empty: 'empty',
  none: '–',
  justNow: 'just now',
  type: 'Type',
  status: 'Status',
  partlyChanged: 'partly changed',
  /** @type {(done: number, all: number) => string} */
  checklist: (done, all) => `${done} of ${all} done`,
};

/** Controls of a form. */
export const form = {
  fieldGone: 'This field no longer exists.',
  /** @type {(label: string) => string} */
  invalidJson: (label) => `${label} isn’t valid JSON.`,
  /** @type {(label: string) => string} */
  required: (label) => `${label} is required.`,
  /** @type {(value: string) => string} */
  incoming: (value) => `Someone else changed this to ${value}.`,
  useIncoming: 'Use this value',
  editAsJson: 'Edit as JSON',
  /** @type {(label: string) => string} */
  commaSeparated: (label) => `${label}, separated by commas`,
  search: 'Search…',
  /** @type {(label: string) => string} */
  open: (label) => `Open ${label}`,
  none: 'None',
  noMatches: 'No matches',
  choose: 'Choose…',
  /** @type {(value: string) => string} */
  notAChoice: (value) => `${value} (no longer available)`,
  /** @type {(allowed: string) => string} */
  onlyAllowed: (allowed) => `Your profile only allows ${allowed}.`,
  notAllowed: 'Your profile doesn’t allow this value.',
};

export const list = {
  search: 'Search',
  /** @type {(types: string) => string} */
  searchFor: (types) => `Search ${types}`,
  panel: 'Filter, sort, and columns',
  status: 'Status',
  columns: 'Columns',
  new: 'New',
  /** @type {(type: string) => string} */
  newOf: (type) => `New ${type}`,
  back: 'All types',
  all: 'All',
  /** @type {(label: string) => string} */
  sortBy: (label) => `Sort by ${label}`,
  /** @type {(label: string, descending: boolean) => string} */
  sortedBy: (label, descending) => `Sort by ${label}, ${descending ? 'descending' : 'ascending'}`,
  /** @type {(share: number) => string} */
  progress: (share) => `${Math.round(share * 100)}%`,
  /** @type {(count: number) => string} */
  records: (count) => plural(count, { one: '# record', other: '# records' }),
  noMatches: 'No matches',
  clearFilters: 'Clear filters',
  someRecords: 'records',
  /** @type {(types: string) => string} */
  nothing: (types) => `No ${types} yet`,
  nothingText: 'They’ll appear here automatically.',
  nothingTextNew: 'Select New to create the first one.',
  failed: 'Couldn’t load the list',
  tryAgain: 'Try again',
  loading: 'Loading',
  unsaved: 'Unsaved',
  /** @type {Record<string, string>} by the state of a record */
  states: { pending: 'Not sent', conflict: 'Conflict', rejected: 'Rejected', parked: 'On hold' },
};

export const filters = {
  panel: 'Filter, sort, and columns',
  sortBy: 'Sort by',
  columns: 'Columns',
  add: 'Add filter',
  field: 'Field',
  condition: 'Condition',
  value: 'Value',
  remove: 'Remove filter',
  choose: 'Choose…',
  defaultOrder: 'Default',
  order: 'Order',
  ascending: 'Ascending',
  descending: 'Descending',
  contains: 'contains',
  is: 'is',
  isNot: 'is not',
  isEmpty: 'is empty',
  isNotEmpty: 'is not empty',
  atLeast: 'at least',
  atMost: 'at most',
  onOrAfter: 'on or after',
  onOrBefore: 'on or before',
};

export const record = {
  history: 'History',
  delete: 'Delete',
  save: 'Save',
  cancel: 'Cancel',
  back: 'Back',
  backToList: 'Back to list',
  notWritable: 'Your profile no longer lets you change this field. What you typed won’t be saved.',
  /** @type {(type: string) => string} */
  new: (type) => `New ${type}`,
  /** @type {(type: string) => string} */
  fixing: (type) => `${type} · fix edit`,
  /** @type {(type: string) => string} */
  viewOnly: (type) => `${type} · view only`,
  /** @type {(type: string) => string} */
  mayNotCreate: (type) => `Your profile doesn’t let you create this ${type}.`,
  /** @type {(type: string) => string} */
  mayNotChange: (type) => `Your profile doesn’t let you change this ${type}.`,
  /** @type {(type: string) => string} */
  hiddenOnceSaved: (type) => `You’ll no longer see this ${type} after you save.`,
  unsaved: 'Unsaved changes',
  notFound: 'Record not found',
  notFoundText: 'It was deleted, or you no longer have access to it.',
  typeNotFound: 'Type not found',
  typeNotFoundText: 'An administrator retired this type. Your unsent edits are in the outbox.',
  typed: 'Your unsaved changes:',
  nothingToSend: 'Nothing to send: the record already has these values',
  resent: 'Edit resent',
  /** @type {(type: string) => string} */
  created: (type) => `${type} created`,
  saved: 'Saved',
  /** @type {(type: string) => string} */
  deleted: (type) => `${type} deleted`,
  /** @type {(title: string) => string} */
  deleteTitle: (title) => `Delete ${title}?`,
  deleteText: 'It’s removed from this device now, and for everyone else once this device is online.',
};

/** What an edit did. */
export const ops = {
  /** @type {Record<string, string>} */
  verbs: { insert: 'Created', update: 'Updated', delete: 'Deleted' },
};

/** Above a record: its edits that the server has not confirmed. */
export const notices = {
  conflictTitle: 'Conflict.',
  someoneElse: 'Someone else',
  /** @type {(by: string, verb: string, fields: string[]) => string} `verb` and `fields`: the user’s own edit */
  conflictText: (by, verb, fields) =>
    `${by} changed the same fields. Your edit: ${fields.length ? fields.join(', ') : verb.toLowerCase()}.`,
  review: 'Review',
  fix: 'Fix',
  parkedTitle: 'This edit can’t be applied.',
  rejectedTitle: 'The server rejected an edit.',
  /** @type {(fields: string) => string} */
  leftOut: (fields) => `Not included: ${fields}.`,
  discard: 'Discard',
  waitingTitle: 'Not sent yet.',
  undo: 'Undo',
  undoLast: 'Undo last edit',
  /** @type {(count: number, last: string) => string} `last`: what the newest edit changed */
  waitingText: (count, last) => (count > 1 ? `${edits(count)}. ${last}` : last),
  /** @type {(verb: string, fields: string[]) => string} */
  edit: (verb, fields) => (fields.length ? `${verb}: ${fields.join(', ')}.` : `${verb}.`),
  /** @type {(field: string, why: string) => string} */
  about: (field, why) => `${field}: ${why}`,
};

export const conflict = {
  title: 'Conflict',
  /** @type {(count: number) => string} */
  firstOf: (count) => `Conflict 1 of ${count}`,
  someoneElse: 'someone else',
  /** @type {Record<'fields' | 'i_deleted' | 'they_deleted', (by: string) => Asked>} */
  kinds: {
    fields: (by) => ({ title: `You and ${by} changed the same fields.`, mine: 'Keep mine', theirs: 'Keep theirs' }),
    i_deleted: (by) => ({
      title: `You deleted this record, but ${by} changed it.`,
      mine: 'Delete anyway',
      theirs: 'Keep their version',
    }),
    they_deleted: (by) => ({
      title: `You changed this record, but ${by} deleted it.`,
      mine: 'Restore with my changes',
      theirs: 'Leave deleted',
    }),
  },
  resolved: 'This conflict is already resolved',
  save: 'Save choices',
  /** @type {(fields: string, theirs: string) => string} `theirs`: the name of the button */
  others: (fields, theirs) =>
    `Your edit also changes ${fields}. “${theirs}” discards that too; choose field by field to keep it.`,
  /** @type {(by: string, theirs: string, mine: string) => string} `theirs` and `mine`: when */
  when: (by, theirs, mine) => {
    const their = theirs ? `${by}, ${theirs}` : by;
    return `Their change: ${their}. Yours: ${mine}. Both are kept until you choose.`;
  },
  mine: 'Mine',
  /** @type {(by: string) => string} */
  theirs: (by) => `Theirs (${by})`,
  own: 'Another value',
  /** @type {(value: string) => string} */
  original: (value) => `Original: ${value}`,
  /** @type {(field: string) => string} */
  missing: (field) => `Choose a value for ${field}.`,
  keptTheirs: 'Kept their version',
  done: 'Conflict resolved',
};

export const history = {
  /** @type {(title: string) => string} */
  title: (title) => `History of ${title}`,
  loading: 'Loading…',
  earlier: 'Show earlier changes',
  offline: 'You’re offline. Connect to see earlier changes.',
  /** @type {(why: string) => string} */
  failed: (why) => `Couldn’t load the history: ${why}`,
  tryAgain: 'Try again',
  you: 'you',
  system: 'system',
  /** @type {(verb: string, op: string) => string} after a name, such as “tom” */
  did: (verb, op) => (op === 'update' ? ` ${verb.toLowerCase()}` : ` ${verb.toLowerCase()} the record`),
  /** @type {(when: string) => string} */
  editedOffline: (when) => ` · edited offline ${when}`,
  /** @type {Record<string, string>} by the state of an edit */
  states: {
    pending: 'not sent',
    acked: 'confirming',
    conflict: 'in conflict',
    rejected: 'rejected',
    parked: 'on hold',
  },
};
