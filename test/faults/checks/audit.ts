/** The audit log by itself, and beside the server's own log. */
import type { LogEntry } from '../../emulator/log.ts';
import type { AuditLine, Evidence } from '../evidence/evidence.ts';
import type { FaultClient } from '../stage/fleet.ts';
import type { Check, Violation } from './checker.ts';
import { SAME_MS } from './clocks.ts';
import { carriesKeys, initialOf, othersOf, thumbprintsIn } from './keys.ts';

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

/** Every entry that Redis took since it last came back, or became another one, is in the log, in its place. */
export const auditIsKept: Check = ({ audit, events }) => {
  const last = events.findLastIndex(({ kind }) => kind === 'snapshot' || kind === 'store');
  const drafts = events.slice(last + 1).flatMap((event) => {
    if (event.kind === 'commit') return event.drafts;
    return event.kind === 'loose_entry' ? [event.draft] : [];
  });
  let from = 0;
  return drafts.flatMap((draft) => {
    const index = audit.findIndex((line, at) => at >= from && line.draft === draft);
    if (index === -1) return [{ rule: 'audit_lost', ref: null, message: `is not in the log: ${draft.slice(0, 200)}` }];
    from = index + 1;
    return [];
  });
};

export const auditAgrees: Check = ({ audit, requests, ends, events }) => {
  const since = declaredAt(events);
  return ends.flatMap(({ client }) => {
    const lines = audit.filter((line) => line.client === client.ref && line.at >= since);
    const all = requests.filter((call) => carriesKeys(call) && call.client === client.id);
    const patches = all.filter(({ at }) => at >= since);
    const gone = all.filter(({ at }) => at < since).flatMap(({ body }) => thumbprintsIn(body));
    const say = (rule: string) => (message: string) => ({ rule, ref: client.ref, message });
    return [
      ...intentsOf(lines, patches).map(say('unannounced')),
      ...answersOf(lines, patches, client).map(say('audit_disagrees')),
      ...keysOf(lines, patches, client, gone).map(say('second_key')),
    ];
  });
};

/** What a store that was lost knew of is in no log. */
function declaredAt(events: Evidence['events']): number {
  return (
    events.findLast((event) => event.kind === 'store' && event.what === 'declared')?.at ?? Number.NEGATIVE_INFINITY
  );
}

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

/** What the log says was answered was answered: with 200, before, to that very document. Answers that nobody lived to hear need not be in it. */
function answersOf(lines: readonly AuditLine[], patches: readonly LogEntry[], client: FaultClient): string[] {
  const open = patches.filter(({ status }) => status === 200);
  const told = lines.filter(({ type, data }) => type === 'key.published' && data.status !== undefined);
  return told.flatMap(({ seq, at, data }) => {
    const index = open.findIndex((patch) => patch.at <= at + SAME_MS && holds(patch.body, data.kids, client));
    if (index !== -1 && data.status === 200) {
      open.splice(index, 1);
      return [];
    }
    return [
      `entry ${seq} has ${JSON.stringify(data.kids)} answered with ${data.status}, and the server knows nothing of it`,
    ];
  });
}

/** The log names keys as they are published; an imported one keeps the kid that it had. */
function holds(body: unknown, kids: unknown, client: FaultClient): boolean {
  const sent = thumbprintsIn(body);
  // A set that is served elsewhere is not in the body.
  if (sent.length === 0) return true;
  const told = (Array.isArray(kids) ? kids : []).map((kid) => (kid === client.initial.kid ? initialOf(client) : kid));
  const others = othersOf(client);
  const mine = sent.filter((kid) => !others.includes(kid));
  return JSON.stringify([...mine].sort()) === JSON.stringify([...told].sort());
}

/** One key for each rotation, however often it was tried, and no other one ever published. */
function keysOf(
  lines: readonly AuditLine[],
  patches: readonly LogEntry[],
  client: FaultClient,
  gone: readonly string[],
): string[] {
  const generated = lines.filter(({ type }) => type === 'key.generated');
  const known = new Set([...generated.map(({ data }) => data.kid), initialOf(client), ...othersOf(client), ...gone]);
  const others = new Set(patches.flatMap(({ body }) => thumbprintsIn(body)).filter((kid) => !known.has(kid)));
  return [
    ...surplus(
      generated.filter(({ data }) => data.standby !== true),
      lines,
    ).map((rotation) => `rotation ${rotation} made a second key`),
    ...[...others].map((kid) => `${kid} was published, and no rotation is known to have made it`),
  ];
}

/** Rotations with more keys than one, and than one for each time that a compromise threw the last one away. */
function surplus(generated: readonly AuditLine[], lines: readonly AuditLine[]): readonly (string | null)[] {
  const allowed = (id: string | null) =>
    1 + lines.filter(({ type, data }) => type === 'rotation.requested' && data.escalates === id).length;
  const made = Map.groupBy(generated, ({ rotation }) => rotation);
  return [...made].flatMap(([id, keys]) => (keys.length > allowed(id) ? [id] : []));
}
