/** A commit as its script takes it, and what the script answers. */
import type { AuditDraft } from '../core/audit.ts';
import type { ClientRef } from '../core/client.ts';
import { RekeydError } from '../errors.ts';
import { marksOf } from '../keys/key-marks.ts';
import { draftTexts } from './audit-log.ts';
import type { StoreKeys } from './keys.ts';
import { COMMIT } from './lua/records.ts';
import type { Commit } from './records.ts';
import type { ScriptCall } from './redis/evaluate.ts';
import { integer, list } from './redis/replies.ts';

/** @param op names this commit: sent twice, it happens once */
export function commitCall(keys: StoreKeys, change: Commit, op: string): ScriptCall {
  const { ref, expected, seal, erase, carried, answers, counted } = change;
  const ended = [...carried, ...change.ended];
  const { audit, clients, due, found, held, offered, open, owners, seen } = keys;
  const wave = counted === undefined ? undefined : keys.wave(counted.wave.policy);
  const begun = rotationsIn(change.entries);
  return {
    lua: COMMIT,
    keys: [
      ...[keys.record(ref), keys.sealed(ref), keys.history(ref), clients, due, open, audit, seen, found, held, offered],
      ...(wave === undefined ? [owners] : [owners, wave.wave, wave.waiting, wave.failed]),
      ...(answers === undefined ? [] : [keys.operation(`request ${answers.request}`)]),
      ...begun.map(keys.rotation),
    ],
    args: [
      op,
      expected?.op ?? '',
      expected?.claim ?? '',
      JSON.stringify(change.record),
      change.dueAt ?? '',
      change.open ? 1 : 0,
      ref,
      change.record.enrolment,
      change.seen,
      seal.length,
      erase.length,
      ended.length,
      answers?.rotation ?? '',
      counted?.wave.id ?? '',
      counted?.outcome ?? '',
      change.record.rotation?.phase.name === 'offered' ? 1 : 0,
      begun.length,
      marksOf(change.record),
      ...seal.flatMap(({ thumbprint, jwe }) => [thumbprint, jwe]),
      ...erase,
      ...ended.map((summary) => JSON.stringify(summary)),
      ...draftTexts(change.entries),
    ],
  };
}

/** Those that may begin with these entries. One that was asked for again was noted before, and stays as it was. */
function rotationsIn(entries: readonly AuditDraft[]): readonly string[] {
  const begun = entries.filter(({ type }) => type === 'rotation.requested' || type === 'rotation.started');
  return [...new Set(begun.flatMap(({ rotation }) => rotation ?? []))];
}

/** @throws RekeydError `store_conflict`, `store_fenced` */
export function parseCommitted(ref: ClientRef, reply: unknown): { readonly now: number; readonly seq: number } {
  const [outcome, , now, seq] = list(reply);
  switch (outcome) {
    case 'conflict':
      throw new RekeydError('store_conflict', `${ref} was changed by someone else in the meantime. Load it again.`);
    case 'fenced':
      throw new RekeydError('store_fenced', `${ref} was taken over by another worker. Leave it alone.`);
    default:
      return { now: integer(now), seq: integer(seq) };
  }
}
