/** Shared by the tests of the engine: an engine, the frames of a server, and the effects by kind. */

import { Engine } from '../../sdk/engine.js';
import { EPOCH } from './support.js';

export const LIMITS = { ops: 3, frame: 100_000 };
export const NEW = { tenant: '', channel: '', cursor: 0, state_hash: '', schema_version: 0, server_epoch: '' };

/** An engine with a clock of its own. */
export function machine({ state = NEW, token = 't', pending = () => [], port = {} } = {}) {
  let now = 0;
  const engine = new Engine({
    state,
    device: 'd1',
    token,
    client: 'test',
    random: () => 0,
    port: { pending, digest: () => [0, ''], cuts: () => [], tables: () => [], ...port },
  });
  const run = (event) => engine.handle(event, now);
  const frame = (envelope, lines = []) => run({ on: 'frame', envelope, lines });
  const pass = (ms) => { now += ms; };
  return { engine, run, frame, pass };
}

export const does = (effects, kind) => effects.filter((effect) => effect.do === kind);
export const sent = (effects) => does(effects, 'send').map(({ envelope }) => envelope);
export const welcome = (more = {}) => ({
  type: 'welcome',
  tenant: 'acme',
  user: 'tom',
  device: 'd1',
  profile: 'p',
  channel: 'full',
  schema_version: 1,
  cursor: 10,
  server_epoch: EPOCH,
  limits: LIMITS,
  chain: 'ok',
  settled: [],
  ...more,
});
export const changes = (from, to, more = {}) => ({
  type: 'changes',
  channel: 'full',
  schema_version: 1,
  from,
  to,
  state_hash: `h${to}`,
  ...more,
});
export const AT_10 = {
  tenant: 'acme',
  channel: 'full',
  cursor: 10,
  state_hash: 'h10',
  schema_version: 1,
  server_epoch: EPOCH,
};

/** A machine that is live at cursor 10. */
export function live(options = {}) {
  const it = machine({ state: AT_10, ...options });
  it.run({ on: 'start' });
  it.run({ on: 'open' });
  const [subscribe] = sent(it.frame(welcome()));
  it.frame({ type: 'catch_up', mode: 'log', from: 10, to: 10, ref: subscribe.ref });
  const onLive = it.frame({ type: 'live', cursor: 10, state_hash: 'h10' });
  it.run({ on: 'confirmed' });
  return { ...it, onLive };
}
