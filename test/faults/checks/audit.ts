/** The audit log by itself, and beside the server's own log. */
import type { LogEntry } from '../../emulator/log.ts';
import type { Check, Violation } from '../checker.ts';
import type { AuditLine } from '../evidence.ts';
import type { FaultClient } from '../fleet.ts';
import { thumbprintOf, thumbprintsIn } from './keys.ts';

/** Redis' clock has microseconds, cut off to ms in the log, as the server's is. */
const SAME_MS = 2;

export const auditIsWhole: Check = ({ audit, auditSize }) => {
  const violations: Violation[] = [];
  audit.forEach(({ seq }, index) => {
    if (seq !== index + 1)
      violations.push({ rule: 'audit_gap', ref: null, message: `entry ${seq} stands at ${index + 1}` });
  });
  const last = audit.at(-1)?.seq ?? 0;
  if (last !== auditSize)
    violations.push({
      rule: 'audit_gap',
      ref: null,
      message: `the last entry is ${last}, and the counter says ${auditSize}`,
    });
  return violations;
};

export const auditAgrees: Check = ({ audit, requests, ends }) =>
  ends.flatMap(({ client }) => {
    const lines = audit.filter((line) => line.client === client.ref);
    const patches = requests.filter((call) => call.method === 'PATCH' && call.client === client.id);
    const say = (rule: string) => (message: string) => ({ rule, ref: client.ref, message });
    return [
      ...intentsOf(lines, patches).map(say('unannounced')),
      ...answersOf(lines, patches).map(say('audit_disagrees')),
      ...keysOf(lines, patches, client).map(say('second_key')),
    ];
  });

/** Each PATCH has an entry of its own that was there before it, and that no crash has taken back. */
function intentsOf(lines: readonly AuditLine[], patches: readonly LogEntry[]): string[] {
  const announced = lines.filter(({ type, data }) => type === 'key.publishing' && data.served !== true);
  return patches.flatMap(({ at }, index) => {
    const entry = announced[index];
    if (entry !== undefined && entry.at <= at + SAME_MS) return [];
    return [
      `PATCH ${index + 1} arrived, and only ${announced.filter((line) => line.at <= at + SAME_MS).length} were announced by then`,
    ];
  });
}

/** What the log says was answered was answered; answers that nobody lived to hear need not be in it. */
function answersOf(lines: readonly AuditLine[], patches: readonly LogEntry[]): string[] {
  const told = lines.filter(({ type, data }) => type === 'key.published' && data.status === 200).length;
  const answered = patches.filter(({ status }) => status === 200).length;
  return told > answered ? [`${told} PATCHes are logged as answered with 200, and ${answered} were`] : [];
}

/** One key for each rotation, however often it was tried, and no other one ever published. */
function keysOf(
  lines: readonly AuditLine[],
  patches: readonly LogEntry[],
  { initial, foreign }: FaultClient,
): string[] {
  const generated = lines.filter(({ type }) => type === 'key.generated');
  const rotations = generated.map(({ rotation }) => rotation);
  const twice = rotations.filter((rotation, index) => rotations.indexOf(rotation) !== index);
  const known = new Set([
    ...generated.map(({ data }) => data.kid),
    thumbprintOf({ ...initial.jwk }),
    ...foreign.map(thumbprintOf),
  ]);
  const others = new Set(patches.flatMap(({ body }) => thumbprintsIn(body)).filter((kid) => !known.has(kid)));
  return [
    ...twice.map((rotation) => `rotation ${rotation} made a second key`),
    ...[...others].map((kid) => `${kid} was published, and no rotation is known to have made it`),
  ];
}
