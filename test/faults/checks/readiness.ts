/**
 * Signers. A cutover is not sent before as many of them as the policy wants hold the new key; and an old key stays in its overlap while one of them reports
 * that it still signs with it. A compromise waits for nobody. Judged where every report is written down before rekeyd can read it.
 */
import type { LogEntry } from '../../emulator/log.ts';
import type { Evidence, StoredRecord } from '../evidence/evidence.ts';
import type { Event } from '../evidence/history.ts';
import type { FaultClient } from '../stage/fleet.ts';
import type { Check, Violation } from './checker.ts';
import { initialOf, thumbprintsIn } from './keys.ts';
import { momentsOf } from './moments.ts';

/** For how long a report counts, in ms. One that is about to be old may be judged either way. */
const COUNTS_MS = 120_000;
const EITHER_MS = 10_000;

/** That long before, in ms, signers may have been heard last. */
const HEARD_MS = 2_000;

type Report = Extract<Event, { kind: 'report' }>;

interface Standing {
  /** Signer → its latest report. */
  readonly reports: Map<string, Report>;
  record: StoredRecord | null;
  /** Keys that have been in a PATCH, by thumbprint. */
  readonly sent: Set<string>;
  readonly said: Set<string>;
}

export const signersAreAwaited: Check = (evidence) =>
  evidence.ends.flatMap(({ client }) =>
    evidence.events.some((event) => event.kind === 'report' && event.ref === client.ref) ||
    client.app.policy.require_ready !== undefined
      ? judgeClient(client, evidence)
      : [],
  );

function judgeClient(client: FaultClient, evidence: Evidence): readonly Violation[] {
  const violations: Violation[] = [];
  const standing: Standing = { reports: new Map(), record: null, sent: new Set(), said: new Set() };
  const say = (rule: string, kid: string, message: string) => {
    if (standing.said.has(`${rule} ${kid}`)) return;
    standing.said.add(`${rule} ${kid}`);
    violations.push({ rule, ref: client.ref, message });
  };
  for (const moment of momentsOf(client, evidence)) {
    if ('request' in moment) judgePatch(moment.request, client, standing, say);
    else takeIn(moment.event, client, standing);
  }
  return violations;
}

function takeIn(event: Event, { ref }: FaultClient, standing: Standing): void {
  if (event.kind === 'snapshot') standing.record = JSON.parse(event.clients[ref]?.record ?? 'null');
  else if (event.kind === 'commit' && event.ref === ref) standing.record = JSON.parse(event.record);
  else if (event.kind === 'report' && event.ref === ref) standing.reports.set(event.name, event);
}

type Say = (rule: string, kid: string, message: string) => void;

function judgePatch({ at, body }: LogEntry, client: FaultClient, standing: Standing, say: Say): void {
  const { record, sent } = standing;
  const keys = thumbprintsIn(body);
  if (record !== null && record.rotation?.compromised == null) {
    judgeCutover(record, at, keys, client, standing, say);
    judgeOverlap(record, at, keys, client, standing, say);
  }
  for (const key of keys) sent.add(key);
}

/** An imported key goes by the kid that it had. */
const thumbprintOf = (kid: string, client: FaultClient) => (kid === client.initial.kid ? initialOf(client) : kid);

function judgeCutover(
  { rotation }: StoredRecord,
  at: number,
  keys: readonly string[],
  client: FaultClient,
  { reports, sent }: Standing,
  say: Say,
): void {
  const wanted = Number(client.app.policy.require_ready ?? 0);
  if (rotation?.strategy !== 'cutover' || rotation.phase.name !== 'delivered') return;
  const { kid = '' } = rotation.phase;
  const key = thumbprintOf(kid, client);
  if (!keys.includes(key) || sent.has(key)) return;
  const ready = [...reports.values()].filter((report) => report.kids.includes(kid) && at - report.at < COUNTS_MS);
  if (ready.length < wanted)
    say('not_ready', kid, `a cutover to ${kid} was sent, and ${ready.length} of ${wanted} signers held it`);
}

function judgeOverlap(
  { retirements, keys: known }: StoredRecord,
  at: number,
  keys: readonly string[],
  client: FaultClient,
  { reports }: Standing,
  say: Say,
): void {
  for (const { kid, role, phase } of retirements) {
    if (kid === null || role !== 'replaced' || phase !== 'withdrawing') continue;
    const isReported = known.some((key) => key.kid === kid && key.state === 'compromised');
    if (isReported || keys.includes(thumbprintOf(kid, client))) continue;
    const signing = [...reports.values()].filter(
      (report) => report.signing === kid && report.at < at - HEARD_MS && at - report.at < COUNTS_MS - EITHER_MS,
    );
    const names = signing.map(({ name }) => name).join(', ');
    if (signing.length > 0) say('overlap_cut', kid, `${kid} was taken away while ${names} signed with it`);
  }
}
