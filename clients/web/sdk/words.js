/**
 * Pure: every sentence of the SDK that a person can read, in one place. Errors carry a code for programs next to it.
 * Messages shown to users use typographic quotes and end in a period; those only developers see start in lower case.
 */

const expected = /** @type {Record<string, string>} */ ({
  text: 'must be text',
  integer: 'must be a whole number',
  real: 'must be a number',
  decimal: 'must be a decimal number',
  boolean: 'must be yes or no',
  date: 'must be a date (YYYY-MM-DD)',
  datetime: 'must be a date and time',
  uuid: 'must be a UUID',
  json: 'must be a JSON value',
  choice: 'must be one of the choices',
  reference: 'must be a record ID',
});

export const words = {
  // Signing in
  badAddress: 'Enter a full server address, such as https://moat.example.',
  addressNotHttps: 'The server address must start with https://.',
  addressWithPassword: 'The server address can’t include a user name or password.',
  unreachable: (/** @type {unknown} */ error) => `Can’t reach the server: ${String(error)}`,
  badStatus: (/** @type {number} */ status) => `The server returned status ${status}.`,
  signInForHistory: 'Sign in to see earlier changes.',
  unsentOfAnother: (/** @type {string} */ other) =>
    `This browser has unsent edits from another ${other}. ` +
    'Sign in with that account to send them, or discard them first.',
  noServer: 'Enter the server address.',
  belongsToServer: (/** @type {string} */ server) => `This replica already belongs to ${server}.`,

  // Connection
  unknownDevice: 'The server no longer recognizes this device. Sign in again.',
  noAccess: 'This user doesn’t have access. Ask an administrator.',
  replaced: 'Another window or browser is connected as this device.',
  oldVersion: 'The server no longer supports this version. Reload the page.',
  insecure: 'The server requires an encrypted connection. Open the page with https.',
  otherTenant: (/** @type {string} */ own, /** @type {string} */ other) =>
    `This replica belongs to ${own}, not ${other}.`,
  restored:
    'The server was restored from a backup or replaced. Your unsent edits are safe. ' +
    'Start over to download the server’s current data.',
  unknownEvent: (/** @type {string} */ name) => `unknown event ${name}`,
  unrepairable:
    'This replica couldn’t be repaired. Your unsent edits are safe. Start over to download the server’s current data.',
  unknownMethod: (/** @type {string} */ method) => `Unknown method: ${method}.`,
  unknownEffect: (/** @type {string} */ name) => `unknown effect ${name}`,

  // Frames and change lines
  frameWithoutType: 'frame has no type',
  badChangeLine: 'invalid change line',
  frameWithoutHeader: 'binary frame has no header',
  invalidJson: 'invalid JSON',
  notAnObject: 'expected a JSON object',
  unknownOp: (/** @type {unknown} */ op) => `unknown op ${String(op)}`,
  changedAfterDelete: (/** @type {string} */ table, /** @type {string} */ id) =>
    `${table}/${id} was updated after it was deleted`,
  otherSchema: (/** @type {string} */ name) => `rows from a different schema: ${name}`,
  changedButMissing: (/** @type {string} */ table, /** @type {string} */ id) =>
    `${table}/${id} was updated but is not in the replica`,
  gap: (/** @type {number} */ cursor, /** @type {number} */ from) =>
    `gap: the replica is at cursor ${cursor}, the frame starts at ${from}`,
  chainMismatch: (/** @type {number} */ cursor) => `chain mismatch at cursor ${cursor}`,

  // Snapshots
  wrongFile: 'the assembled file doesn’t match its manifest',
  wrongPart: (/** @type {number} */ number) => `part ${number} doesn’t match the manifest`,
  interrupted: (/** @type {unknown} */ error) => `The download was interrupted: ${String(error)}`,
  snapshotGone: 'This snapshot is no longer available; the server has a newer one.',
  damagedSnapshot: (/** @type {unknown} */ problem) => `the snapshot file is damaged: ${problem}`,
  otherCursor: 'the snapshot’s cursor or chain hash doesn’t match its manifest',
  otherCount: (/** @type {string} */ table, /** @type {number} */ count) =>
    `${table} doesn’t contain the expected ${count} records`,
  otherSize: (/** @type {number} */ at, /** @type {number} */ size) => `the file has ${at} bytes; expected ${size}`,

  // Replica and SQL
  notAReplica: (/** @type {unknown} */ id, /** @type {unknown} */ version) =>
    `not a Moat replica (application_id ${id}, user_version ${version})`,
  invalidName: (/** @type {unknown} */ name) => `invalid name: ${String(name)}`,
  reserved: (/** @type {string} */ table) => `${table} is reserved`,
  unknownCommand: (/** @type {unknown} */ command) => `unknown schema command: ${String(command)}`,
  transactionOpen: 'A transaction is already open.',
  schemaChanged: 'The schema changed while the query was running. Run it again.',
  emptyStatement: 'The SQL statement is empty.',
  oneStatement: 'Pass one SQL statement at a time.',
  unknownParameter: (/** @type {string} */ name) => `The statement has no parameter ${name}.`,
  notStorable: (/** @type {string} */ type) => `SQLite can’t store a ${type}`,
  cannotBind: (/** @type {string} */ reason) => `can’t bind a parameter: ${reason}`,

  // Reading and lists
  unknownTable: (/** @type {string} */ name) => `Unknown table: ${name}.`,
  unknownField: (/** @type {string} */ table, /** @type {string} */ field) => `${table} has no field ${field}.`,
  unknownOperator: (/** @type {string} */ operator) => `unknown operator ${operator}`,
  badFilter: (/** @type {string} */ name) =>
    `The condition on ${name} must be a value, a list of values, or an operator and a value. ` +
    'Pass dates and times as text.',
  listNotOpen: 'This list isn’t open in this tab.',

  // Values
  badValue: (/** @type {string} */ name, /** @type {string} */ kind) =>
    `${name}: ${expected[kind] ?? 'unknown field kind'}`,
  notFinite: 'not a finite number',
  loneSurrogate: 'lone surrogate',
  notJson: (/** @type {string} */ type) => `${type} is not JSON`,
  notHex: 'invalid hexadecimal',

  // Patches
  badPointer: (/** @type {string} */ pointer) => `invalid JSON Pointer: ${pointer}`,
  noItem: (/** @type {string} */ index, /** @type {number} */ length) =>
    `index ${index} is out of range for a list of ${length}`,
  noPath: (/** @type {string} */ part) => `path not found: ${part}`,
  notAContainer: (/** @type {string} */ key) => `can’t set ${key} on a scalar value`,
  protoKey: 'the key __proto__ is not allowed',
  wholeRecord: 'a patch cannot replace the whole record',
  unsupportedStep: (/** @type {unknown} */ op) =>
    `unsupported patch operation ${String(op)}; use add, replace, or remove`,
  valueMissing: (/** @type {string} */ op) => `${op} needs a value`,
  testFailed: (/** @type {string} */ path) => `test failed at ${path}`,
  fromMissing: 'from is missing',
  moveIntoItself: 'can’t move a value into itself',

  // Edits
  resolving: 'This conflict is already being resolved.',
  alreadySent: 'This edit has already been sent. Make a new edit to change it back.',
  fieldsGone: 'The fields this edit changes no longer exist.',
  badId: 'A record ID must be 1 to 128 characters, without control characters.',
  exists: (/** @type {string} */ id, /** @type {string} */ table) =>
    `A record with ID ${id} already exists in ${table}.`,
  noRecord: (/** @type {string} */ id, /** @type {string} */ table) => `No record with ID ${id} in ${table}.`,
  noEdit: (/** @type {string[]} */ states, /** @type {number} */ opId) =>
    `No ${states.join(' or ')} edit with op_id ${opId}.`,
  readOnly: (/** @type {string} */ table) => `${table} is read-only: administrators edit it in the admin.`,
  typeRetired: (/** @type {string} */ table) => `An administrator retired the type ${table}.`,
  fieldRetired: (/** @type {string} */ field) => `An administrator retired the field ${field}.`,

  // Opening and storage
  badReplicaName: 'A replica name must be 1 to 40 characters: a-z, 0-9, and hyphens.',
  workerFailed: 'Couldn’t start the sync worker.',
  closed: 'The replica is closed.',
  chosenByApplication: 'chosen by the application',
  webKit: 'IndexedDB is more reliable than OPFS in WebKit',
  opfsFailed: (/** @type {unknown} */ error) =>
    `The browser couldn’t open this device’s data: ${String(error)}. Reload the page.`,
  noOpfs: (/** @type {unknown} */ error) => `OPFS isn’t available: ${String(error)}`,
  noIndexedDb: (/** @type {string} */ reason, /** @type {unknown} */ error) =>
    `${reason}; IndexedDB isn’t available: ${String(error)}`,
  startedInIndexedDb: 'this replica was created in IndexedDB',
  notADatabase: (/** @type {unknown} */ error) => `The database file couldn’t be opened: ${String(error)}`,
  notSaved: (/** @type {unknown} */ error) => `The browser couldn’t save your data: ${String(error)}`,
  mirrored: 'memory mirrored to IndexedDB',
  storageBusy: 'Another window is using the data and isn’t responding. Close it and try again.',
};
