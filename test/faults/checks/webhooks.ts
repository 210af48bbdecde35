/** A receiver is told of every entry from the first one on, in order, as it stands in the log; checkpoints excepted. It may be told again, under the same id. */
import type { Check, Violation } from './checker.ts';

export const webhooksAreTold: Check = ({ events, audit }) => {
  const violations: Violation[] = [];
  const say = (rule: string, message: string) => void violations.push({ rule, ref: null, message });
  const types = new Map(audit.map(({ seq, type }) => [seq, type]));
  const wanted = audit.filter(({ type }) => type !== 'audit.sealed').map(({ seq }) => seq);
  const ids = new Map<number, string>();
  let last: number | null = null;
  for (const event of events) {
    if (event.kind !== 'hook') continue;
    const { seq, type, id } = event;
    if (!event.isSigned) say('hook_unsigned', `the event of entry ${seq} has a signature that is not valid`);
    if (types.get(seq) !== type) say('hook_strange', `was told of entry ${seq} as ${type}, which is ${types.get(seq)}`);
    if (ids.has(seq) && ids.get(seq) !== id) say('hook_id', `was told of entry ${seq} under two ids`);
    const next = wanted.find((one) => last === null || one > last);
    if (!ids.has(seq) && last !== null && next !== undefined && seq !== next)
      say('hook_order', `was told of ${seq} after ${last}`);
    last = Math.max(last ?? 0, seq);
    ids.set(seq, id);
  }
  if (new Set(ids.values()).size < ids.size) say('hook_id', 'was told of two entries under one id');
  return violations;
};
