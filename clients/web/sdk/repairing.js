/**
 * Pure: compare the replica with the server and repair it, as part of the conversation. `Verification` decides the
 * steps.
 */

import { Connection } from './connection.js';
import { Verification } from './verify.js';
import { words } from './words.js';

/** @typedef {import('./types.js').Envelope} Envelope */
/** @typedef {import('./verify.js').Port} Port */

export class Repairing extends Connection {
  /** @type {Envelope | null} */
  welcome = null;
  /** @type {Verification | null} */
  verification = null;
  /** A verification was requested while the replica was not live. */
  wantVerify = false;

  /**
   * @param {Port} port reads of the replica
   * @param {ConstructorParameters<typeof Connection>[0]} options
   */
  constructor(port, options) {
    super(options);
    this.port = port;
  }

  /** @override */
  forget() {
    super.forget();
    this.wantVerify ||= this.verification !== null;
    this.verification = null;
  }

  /** Subscribe from the replica’s cursor. `Engine` implements it. */
  subscribe() {}

  verify() {
    if (this.phase === 'live' && !this.verification) this.beginVerification();
    else this.wantVerify = true; // once it is live
  }

  beginVerification() {
    this.wantVerify = false;
    this.verification = new Verification(this.port, () => this.nextRef(), this.welcome?.limits?.ranges_per_verify);
    this.#steps(this.verification.start());
  }

  /**
   * @param {Verification} verification
   * @param {Envelope} envelope
   * @param {string[]} lines
   */
  verifying(verification, envelope, lines) {
    const steps = verification.answer(envelope, lines);
    // After the first difference the stream is ignored: the repair ends at the cursor of the first reply.
    if (verification.differs && this.phase !== 'repairing') this.enter('repairing');
    this.#steps(steps);
    if (verification.done) this.endVerification(null);
  }

  /** @param {import('./verify.js').VerifyStep[]} steps */
  #steps(steps) {
    for (const step of steps) {
      if ('send' in step) this.send(step.send);
      else this.out.push({ do: 'repair', frames: step.repair });
    }
  }

  /** @param {{code: string, message: string} | null} problem */
  endVerification(problem) {
    const verification = /** @type {Verification} */ (this.verification);
    this.verified(verification, problem);
    if (this.phase !== 'repairing') return;
    if (problem?.code === 'too_large') {
      return this.giveUp('diverged', words.unrepairable);
    }
    if (problem) {
      this.problem = problem;
      return this.drop();
    }
    if (verification.at)
      this.adopt({ ...verification.at, channel: this.welcome?.channel ?? this.state.channel }, verification.latest);
    this.subscribe();
  }

  /**
   * @param {Verification} verification
   * @param {{code: string, message: string} | null} problem
   */
  verified({ tables, repaired }, problem) {
    this.verification = null;
    this.out.push({ do: 'verified', tables, repaired, problem });
  }

  /**
   * @param {Partial<import('./types.js').SyncState>} state
   * @param {number} [replayUntil] up to this cursor, lines may repeat what a repair has fetched
   */
  adopt(state, replayUntil = 0) {
    Object.assign(this.state, state);
    this.out.push({ do: 'adopt', state, replayUntil });
  }
}
