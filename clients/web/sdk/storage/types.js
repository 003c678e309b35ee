/**
 * Storage of replicas: one interface, three tiers. Every method but `open` may wait.
 * @typedef {import('../sql.js').Sql} Sql
 * @typedef {{
 *   tier: 1 | 2 | 3,
 *   name: string,
 *   durable: boolean,
 *   reason: string | null,
 *   list: () => string[],
 *   open: (file: string) => Sql,
 *   importFile: (file: string, chunks: AsyncIterable<Uint8Array>, size: number) => Promise<void>,
 *   remove: (file: string) => Promise<void>,
 *   flush: () => Promise<void>,
 *   close: () => Promise<void>,
 *   stats: () => Record<string, unknown>
 * }} Storage `flush` returns when everything committed is durable; `reason`: why no better tier is used
 */

export {};
