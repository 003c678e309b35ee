/**
 * Pure: types shared by several modules. Wire types keep the names of docs/spec/protocol.md.
 *
 * @typedef {Record<string, any>} RecordValues a record as wire values: field → value, null when empty
 * @typedef {{op: 'add'|'replace'|'remove'|'move'|'copy'|'test', path: string, value?: any, from?: string}} PatchOp
 *
 * @typedef {{value: string, label: string, colour?: string}} Choice
 * @typedef {'text'|'integer'|'real'|'decimal'|'boolean'|'date'|'datetime'|'uuid'|'json'|'choice'|'reference'} Kind
 * @typedef {{
 *   name: string, kind: Kind, label: string, required?: boolean, unique?: boolean, indexed?: boolean, default?: any,
 *   help_text?: string, choices?: Choice[], reference?: string|null, reference_table?: string|null,
 *   decimal_places?: number|null
 * }} Field a published field, as in `object_metadata.fields`
 * @typedef {{
 *   object_name: string, table_name: string, version: number, label: string, label_plural: string, icon: string,
 *   title_field: string, conflict_policy: string, subtypes: Choice[], statuses: Choice[], fields: Field[], 
 *   json_schema: Record<string, any>
 * }} ObjectType a published object type
 * @typedef {{
 *   id: string, version: number, object_name: string, object_type: string, status: string, label: string,
 *   layout_json: any
 * }} Layout
 *
 * @typedef {'insert'|'update'|'delete'|'evict'} ChangeOp
 * @typedef {{
 *   cursor: number, schema_version: number, table: string, id: string, op: ChangeOp, version: number, payload: any,
 *   at: string, by: string, device?: string, op_id?: number, made_at?: string
 * }} Change a decoded change line
 * @typedef {Record<string, any> & {type: string, ref?: number}} Envelope the first line of a frame
 * @typedef {{schema_version: number, commands: Record<string, any>[]}} Revision
 *
 * @typedef {'pending'|'acked'|'conflict'|'rejected'|'parked'} OverlayState
 * @typedef {{
 *   op_id: number, tx: string|null, table: string, id: string, op: 'insert'|'update'|'delete'|'settle', payload: any,
 *   base_version: number, schema_version: number, created_at: string, state: OverlayState, acked_cursor: number|null,
 *   settles: string|null, code: string|null, message: string|null, details: any
 * }} Overlay an unconfirmed op
 * @typedef {{
 *   op_id: number, status: 'applied'|'merged'|'duplicate'|'conflict'|'rejected', version?: number, cursor?: number,
 *   kept?: string[], conflict?: string, code?: string, message?: string, field?: string, [key: string]: any
 * }} OpResult one line of an `ack`
 *
 * @typedef {{
 *   tenant: string, channel: string, cursor: number, state_hash: string, schema_version: number, server_epoch: string
 * }} SyncState position of a replica; cursor 0 and empty texts in a new one
 * @typedef {{size: number, sha256: string}} Part
 * @typedef {{
 *   snapshot: string, channel: string, cursor: number, schema_version: number, state_hash: string,
 *   server_epoch: string, size: number, sha256: string, parts: Part[], tables: Record<string, [number, string]>
 * }} Manifest
 *
 * @typedef {{
 *   object_name: string, table: string, verbs: string[], readable: string[]|null, writable: string[]|null,
 *   rows?: [string, any[]][], rows_complete?: boolean
 * }} AccessRule
 * @typedef {{rules: AccessRule[]|null}} Access what the user may see and do; `rules` null: everything
 *
 * @typedef {'catching_up'|'upgrading'|'downloading'|'repairing'|'live'} OnlinePhase
 * @typedef {OnlinePhase|'closed'|'signed_out'|'offline'|'connecting'|'halted'} Phase
 * @typedef {{
 *   phase: Phase, online: boolean, progress: number|null, cursor: number, head: number, schema_version: number,
 *   pending: number, conflicts: number, rejected: number, parked: number,
 *   problem: {code: string, message: string}|null, retry_at: number|null,
 *   server: string, user: string|null, tenant: string|null, device: string|null, profile: any, access: Access|null,
 *   channel: string|null, leader: boolean,
 *   storage: {
 *     tier: 1|2|3, name: string, durable: boolean, reason: string|null,
 *     damaged?: {file: string, saved: number, at: string}[]
 *   }
 * }} Status state of the sync; `server` is empty in a native app until the first sign-in
 *
 * @typedef {'synced'|'pending'|'conflict'|'rejected'|'parked'} RecordState
 * @typedef {{
 *   table: string, where?: Record<string, any>, search?: string, order?: string|string[],
 *   limit?: number, offset?: number
 * }} FindOptions `where`: field → value, list of values, null, or {op: value} with op of = != < <= > >= like
 */

export {};
