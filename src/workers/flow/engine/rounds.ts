/**
 * The rounds of a step: as long as flows can go on, their turns are run together in the sandbox and what they asked for is
 * taken up.
 *
 *     events ──▶ ready completions ──▶ sandbox ──▶ asks ──┬─▶ ready again, or answered directly: next round
 *                                                         └─▶ pending: the flow waits
 */
import * as z from 'zod';
import { fromBase64url } from '../../../cipher/bytes.ts';
import { verify } from '../../../cipher/signature.ts';
import type { SignatureSpec } from '../../../cipher/signature.ts';
import { signatureSpec } from '../../../messages/all-to-crypto.sign.ts';
import { askedOf } from '../sandbox/ask.ts';
import type { Completion, FaultCode, Fresh, Sandbox, Turn, TurnResult, TurnStep, Where } from '../sandbox/sandbox.ts';
import type { DirectWays } from '../../../shell/direct.ts';
import { noWays, sendAsked } from './direct.ts';
import { foresee, type Foresight } from './foresight.ts';
import { append, note, putSession } from './draft.ts';
import type { Draft, Ready, Verification } from './draft.ts';
import { refused } from './external.ts';
import type { Facts } from './facts.ts';
import { behaviourFlags, unknownFlags } from './behaviour.ts';
import { compartmentOf, hasEnded, sessionOf } from './head.ts';
import type { FlowError, FlowHead } from './head.ts';
import { completionOf, positionsOf, replayOf } from './journal.ts';
import type { TurnOutcome } from './journal.ts';
import { breakFlow, failFlow, finishFlow } from './lifecycle.ts';
import { issue, remake } from './operation.ts';
import { askAgain, recallDue } from './request.ts';
import { failSession, silenceAt, unread } from './session.ts';
import { completeWaiting } from './session-operation.ts';

export type RoundsOptions = { readonly sandbox: Sandbox; readonly facts: Facts; readonly direct: DirectWays; readonly foresight: Foresight; readonly limits: RoundLimits };
export type RoundLimits = { readonly roundsMax: number; readonly directRoundsMax: number; readonly directShareMax: number };

/** Runs every draft until its flow waits or has ended. */
export const runRounds = async (drafts: readonly Draft[], { sandbox, facts, direct, foresight, limits }: RoundsOptions): Promise<void> => {
  for (const draft of drafts) {
    failSilentSessions(draft);
    recallDue(draft);
  }
  const { roundsMax, directRoundsMax, directShareMax } = limits;
  let directRounds = 0;
  for (let round = 0; ; round++) {
    const moving: { draft: Draft; turn: Turn }[] = [];
    for (const draft of drafts) {
      if (draft.later !== undefined || draft.isUndone || draft.head === undefined || hasEnded(draft.head)) continue;
      completeWaiting(draft);
      if (draft.starting === undefined && draft.ready.length === 0 && draft.recall.length === 0) continue;
      if (round >= roundsMax) {
        failFlow(draft, { type: 'PLATFORM_ERROR', message: `FLOW_OPERATIONS_EXCEEDED: the flow went through ${roundsMax} rounds of operations without waiting for anything` });
        continue;
      }
      const turn = turnOf(draft, draft.head, sandbox, facts);
      if (turn === undefined) continue;
      moving.push({ draft, turn });
    }
    if (moving.length === 0) return;
    const isPatient = directRounds < directRoundsMax && moving.length * directShareMax >= drafts.length;
    const foreseeing = new Set(moving.flatMap(({ draft }) => (isPatient && foresight.may(draft) ? [draft] : [])));
    const results = await sandbox.run(moving.map(({ draft, turn }) => (foreseeing.has(draft) ? { ...turn, foresees: true } : turn)));
    moving.forEach(({ draft }, i) => takeResult(draft, results[i]!, facts));
    if (direct.size > 0) await Promise.all(moving.map(({ draft }) => awaitDurable(draft)));
    const hasForeseen = await foresight.fulfil(moving.map(({ draft }) => draft));
    const standing = moving.flatMap(({ draft }) => (draft.isUndone ? [] : [draft]));
    await Promise.all(standing.map(runVerifications));
    const hasAsked = await sendAsked(standing, isPatient ? direct : noWays, (draft) => foreseeing.has(draft));
    if (hasForeseen || hasAsked) directRounds++;
  }
};

/** What is asked directly is done at once: not for what the bus may not come to have. */
const awaitDurable = async (draft: Draft): Promise<void> => {
  if (draft.durable === undefined || (draft.asked.length === 0 && draft.foreseen.length === 0)) return;
  try {
    await draft.durable;
  } catch {
    draft.later = 'the bus could not write what the flow heard';
  }
};

const failSilentSessions = (draft: Draft): void => {
  if (draft.head === undefined || hasEnded(draft.head)) return;
  const { sessionTimeoutMs } = draft.limits;
  for (const session of draft.head.sessions) {
    const at = silenceAt(session, sessionTimeoutMs);
    if (at === undefined || at > draft.now) continue;
    const message = `nothing was said on the session for ${session.timeoutMs ?? sessionTimeoutMs} ms`;
    const failed = failSession(session, { code: 'SESSION_TIMEOUT', message }, { code: 'SESSION_TIMEOUT', message }, draft.now);
    putSession(draft, draft.head, { ...failed.session, unread: session.unread }, failed.outgoing);
    note(draft, 'info', 'flow-session-timed-out', { flowId: draft.key, sessionId: session.id });
  }
};

// ── To the sandbox ───────────────────────────────────────────────────────────────────────────────────────────────────

/** The journal may be whole for another reader, so the flow can be driven again. */
const journalCorrupt: FlowError = { type: 'PLATFORM_ERROR', message: 'FLOW_JOURNAL_CORRUPT: items of the journal are missing' };

/** The next turn of a flow; `undefined` when it cannot be run now, which the draft then says. */
const turnOf = (draft: Draft, head: FlowHead, sandbox: Sandbox, facts: Facts): Turn | undefined => {
  const completions = draft.ready.flatMap(({ op, outcome }): Completion[] => {
    const completion = completionOf(op, outcome, draft.messages);
    return completion === undefined ? [] : [completion];
  });
  const isHeld = draft.starting === undefined && draft.recall.length === 0 && sandbox.holds(head.flowId);
  const canRebuild = draft.items !== undefined || draft.before === undefined;
  const lacksMessage = completions.length < draft.ready.length;
  if (!canRebuild && (lacksMessage || !isHeld)) {
    draft.later = 'the flow left memory; it is rebuilt from its journal';
    return undefined;
  }
  if (lacksMessage) {
    breakFlow(draft, journalCorrupt, { holds: true });
    return undefined;
  }
  const base = { flowId: head.flowId, compartment: compartmentOf(head), at: draft.at, completions };
  if (isHeld) return base;
  const fresh = freshOf(draft, head, facts);
  return fresh === undefined ? undefined : { ...base, fresh };
};

const freshOf = (draft: Draft, head: FlowHead, facts: Facts): Fresh | undefined => {
  const code = facts.bundle(head.code.cpkHash);
  if (code === undefined) {
    draft.later = `the code of CPK ${head.code.cpkHash} is not here yet`;
    return undefined;
  }
  const { x500Name, groupId, shortHash } = head.identity;
  const base = { code, me: { x500Name, groupId, shortHash }, flowClassName: head.flowClassName, flags: behaviourFlags };
  if (draft.starting !== undefined) return { ...base, start: draft.starting, journal: [] };
  const replay = replayOf([...(draft.items ?? []), ...draft.added]);
  if (replay === undefined) {
    breakFlow(draft, journalCorrupt, { holds: true });
    return undefined;
  }
  const unknown = unknownFlags(replay.flags);
  if (unknown.length > 0) {
    const message = `FLOW_JOURNAL_NEWER: the journal was written by a later version of the platform, which behaves otherwise: ${unknown.join(', ')}`;
    breakFlow(draft, { type: 'PLATFORM_ERROR', message }, { holds: true });
    return undefined;
  }
  note(draft, 'debug', 'flow-replayed', { flowId: head.flowId, steps: replay.steps.length });
  return { ...base, flags: replay.flags, start: replay.start, journal: replay.steps, ...(draft.recall.length === 0 ? {} : { recall: draft.recall }) };
};

// ── From the sandbox ─────────────────────────────────────────────────────────────────────────────────────────────────

const takeResult = (draft: Draft, result: TurnResult, facts: Facts): void => {
  switch (result.type) {
    case 'lost':
      draft.later = result.reason;
      return;
    case 'fault':
      return takeFault(draft, result.code, `${result.code}: ${result.message}`);
    case 'unforeseen':
      draft.isUndone = true;
      return;
    case 'diverged':
      return takeDivergence(draft, result.message, placesOf(draft, facts, result.where));
    case 'ran':
      break;
  }
  const delivered = draft.ready;
  draft.ready = [];
  const begun = draft.starting === undefined ? 0 : 1;
  const { foreseen = [] } = result;
  for (const [i, step] of result.steps.entries()) {
    if (i < begun) takeBeginning(draft, step, facts);
    else if (step.dropped === true) putBack(draft, delivered[i - begun]!);
    else {
      const told = delivered[i - begun] ?? foresee(draft, foreseen[i - begun - delivered.length]!);
      // What no sandbox of ours does: it went on over an answer that it could not foresee.
      if (told === undefined) return void (draft.isUndone = true);
      takeTurn(draft, told, step, facts);
    }
    // The flow has continued as another run: what this one did besides counts no more.
    if (draft.starting !== undefined) return;
  }
  draft.recall = [];
  if (result.recalled !== undefined && !hasEnded(draft.head!)) askAgain(draft, result.recalled, (one) => remake(draft, one, facts));
  const { finished } = result;
  if (finished !== undefined) finishFlow(draft, finished, placesOf(draft, facts, finished.type === 'error' ? finished.where : undefined));
};

const placesOf = (draft: Draft, facts: Facts, where: Where = []): readonly string[] => facts.locate(draft.head!.code.cpkHash, where);

const takeDivergence = (draft: Draft, parting: string, at: readonly string[]): void => {
  const message = `FLOW_DIVERGED: the code is not the code that began this flow: ${parting}${at[0] === undefined ? '' : ` at ${at[0]}`}`;
  breakFlow(draft, { type: 'PLATFORM_ERROR', message, ...(at.length === 0 ? {} : { at }) }, { holds: true });
};

/** Faults of the code that a person mends: it was there when the flow began, and cannot be run now. */
const codeFaults: readonly FaultCode[] = ['FLOW_CODE_REFUSED', 'FLOW_CLASS_NOT_FOUND', 'FLOW_JOURNAL_CORRUPT'];
/** Faults that may be another's, or the machine's; any other the flow would meet again. */
const perhapsOthers: readonly FaultCode[] = ['FLOW_TIME_EXCEEDED', 'FLOW_MEMORY_EXCEEDED'];

const takeFault = (draft: Draft, code: FaultCode, message: string): void => {
  const error: FlowError = { type: 'PLATFORM_ERROR', message };
  const ofCode = codeFaults.includes(code);
  if (!ofCode && !perhapsOthers.includes(code)) return failFlow(draft, error);
  breakFlow(draft, error, { holds: ofCode && draft.starting === undefined });
};

const takeBeginning = (draft: Draft, step: TurnStep, facts: Facts): void => {
  const start = draft.starting!;
  draft.starting = undefined;
  append(draft, draft.head!, { type: 'start', v: 1, at: draft.at, flags: behaviourFlags, start, asked: step.asks.map(askedOf) });
  takeAsks(draft, step, facts);
};

const takeTurn = (draft: Draft, { op, outcome }: Ready, step: TurnStep, facts: Facts): void => {
  for (const position of positionsOf(outcome)) draft.messages.delete(position);
  append(draft, draft.head!, { type: 'turn', at: draft.at, op, outcome, asked: step.asks.map(askedOf) });
  takeAsks(draft, step, facts);
};

const takeAsks = (draft: Draft, step: TurnStep, facts: Facts): void => {
  draft.logs.push(...step.logs);
  for (const ask of step.asks) {
    issue(draft, ask, facts);
    if (draft.starting !== undefined) return;
  }
};

/** The code gave the operation up before it could be completed: what was read for it can be read again. */
const putBack = (draft: Draft, { read }: Ready): void => {
  for (const { sessionId, unread: values } of read ?? []) {
    const session = sessionOf(draft.head!, sessionId);
    if (session === undefined) continue;
    putSession(draft, draft.head!, unread(session, values));
    draft.heard.add(sessionId);
  }
};

// ── Signatures ───────────────────────────────────────────────────────────────────────────────────────────────────────

const runVerifications = async (draft: Draft): Promise<void> => {
  if (draft.verifications.length === 0) return;
  const verifications = draft.verifications;
  draft.verifications = [];
  const outcomes = await Promise.all(verifications.map(verifyOne));
  verifications.forEach(({ op }, i) => draft.ready.push({ op, outcome: outcomes[i]! }));
};

const verifyParams = z.object({ data: z.string(), signature: z.string(), publicKey: z.string(), spec: z.string() });

/** A key, signature or spec that cannot be read is merely not valid: it came from anyone. */
const verifyOne = async ({ params }: Verification): Promise<TurnOutcome> => {
  const parsed = verifyParams.safeParse(params);
  if (!parsed.success) return refused('OPERATION_INVALID', `crypto.verify: ${z.prettifyError(parsed.error)}`);
  const spec = signatureSpec.safeParse(parsed.data.spec);
  let valid = false;
  if (spec.success) valid = await verifyText({ ...parsed.data, spec: spec.data });
  return { type: 'answer', json: JSON.stringify({ valid }) };
};

const verifyText = async (given: { data: string; signature: string; publicKey: string; spec: SignatureSpec }): Promise<boolean> => {
  let bytes: { publicKey: Uint8Array; data: Uint8Array; signature: Uint8Array };
  try {
    bytes = { publicKey: fromBase64url(given.publicKey), data: fromBase64url(given.data), signature: fromBase64url(given.signature) };
  } catch {
    return false;
  }
  return await verify({ ...bytes, spec: given.spec });
};
