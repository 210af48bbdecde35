/**
 * Waves. Of many due clients a part goes first, and nothing else begins before its keys are proven. A wave whose rotations fail stops, and nothing of its
 * policy begins on schedule until a person resumes it. Judged for policies that say how large that part is.
 */

import type { Evidence, StoredRecord } from '../evidence/evidence.ts';
import type { CommitEvent, Event } from '../evidence/history.ts';
import type { FaultClient } from '../stage/fleet.ts';
import type { Check, Violation } from './checker.ts';
import { durationMs } from './durations.ts';
import { type Start, startIn } from './starts.ts';

/** From that many due clients on, a part goes first; where alg or format change, from two on. */
const LARGE = 20;

/** A sweep looks who is due, and then begins them page by page: what happened this shortly before, in ms, it may not have seen. */
const UNSEEN_MS = 5_000;

/** That long after the last failure, in ms, a wave has been stopped. */
const STOPPED_MS = 15_000;

interface Setting {
  readonly policy: Readonly<Record<string, unknown>>;
  readonly firstPercent: number;
  readonly stopAfter: number;
}

interface Wave {
  /** How many clients go first. */
  readonly first: number;
  /** Client → its latest rotation of this wave, in the order in which they began. */
  readonly begun: Map<string, string>;
  /** Client → when its rotation was first known to be proven, or to have failed. */
  readonly proven: Map<string, number>;
  readonly failed: Map<string, number>;
  forgiven: number;
  isStopped: boolean;
}

interface Standing {
  readonly setting: Setting;
  readonly records: Map<string, StoredRecord | null>;
  readonly waves: Map<string, Wave>;
  stoppedAt: number | null;
}

type Say = (rule: string, ref: string | null, message: string) => void;

export const wavesAreKept: Check = (evidence) => {
  const clients = Map.groupBy(
    evidence.ends.map(({ client }) => client),
    ({ app }) => app.slug,
  );
  return [...clients].flatMap(([slug, mine]) => judgePolicy(slug, mine, evidence));
};

function judgePolicy(slug: string, clients: readonly FaultClient[], { events }: Evidence): readonly Violation[] {
  const setting = settingOf(clients[0]);
  if (setting === null) return [];
  const violations: Violation[] = [];
  const say: Say = (rule, ref, message) => void violations.push({ rule, ref, message });
  const records = new Map<string, StoredRecord | null>(clients.map(({ ref }) => [ref, null]));
  const standing: Standing = { setting, records, waves: new Map(), stoppedAt: null };
  for (const event of events) {
    if (event.kind === 'wave' && event.policy === slug) beginWave(event, standing, say);
    else takeIn(event, standing, slug, say);
  }
  const endedAt = events.at(-1)?.at ?? 0;
  for (const wave of standing.waves.values()) judgeEnd(wave, endedAt, standing, say);
  return violations;
}

function settingOf(client: FaultClient | undefined): Setting | null {
  const policy = client?.app.policy ?? {};
  const { cohort } = policy;
  if (typeof cohort !== 'object' || cohort === null) return null;
  const { first, stop_after: stopAfter } = cohort as { first?: string; stop_after?: number }; // as the fleets write it
  return { policy, firstPercent: Number.parseFloat(first ?? ''), stopAfter: stopAfter ?? 1 };
}

/** Not more go first than the policy says, and not while those of the wave before are still on their way. */
function beginWave(event: Extract<Event, { kind: 'wave' }>, { setting, records, waves }: Standing, say: Say): void {
  const { id, first, at } = event;
  const due = [...records.values()].filter((record) => isDue(record, setting, at)).length;
  const most = Math.max(1, Math.floor((due * setting.firstPercent) / 100));
  if (first > most) say('cohort', null, `${first} clients go first, and of ${due} there may be ${most}`);
  const last = [...waves.values()].at(-1);
  const open = last === undefined ? [] : openOf(last);
  if (open.length > 0) say('cohort', null, `a wave began while ${open.join(', ')}, of the one before, was not proven`);
  waves.set(id, { first, begun: new Map(), proven: new Map(), failed: new Map(), forgiven: 0, isStopped: false });
}

/** Those that went first and have neither been proven nor failed. */
function openOf({ first, begun, proven, failed }: Wave): readonly string[] {
  return [...begun.keys()].slice(0, first).filter((client) => !proven.has(client) && !failed.has(client));
}

function takeIn(event: Event, standing: Standing, slug: string, say: Say): void {
  const { records } = standing;
  if (event.kind === 'snapshot') {
    for (const ref of records.keys()) records.set(ref, JSON.parse(event.clients[ref]?.record ?? 'null'));
  } else if (event.kind === 'loose_entry') {
    takeInEntry(JSON.parse(event.draft), event.at, slug, standing);
  } else if (event.kind === 'commit' && records.has(event.ref)) {
    const record: StoredRecord = JSON.parse(event.record);
    takeInEnds(event, standing);
    const start = startIn(records.get(event.ref) ?? null, record);
    if (start !== null) judgeStart(start, event, standing, say);
    records.set(event.ref, record);
  }
}

/** A wave that stops, or goes on because a person says so. */
function takeInEntry(
  { type, data }: { readonly type: string; readonly data: { readonly policy?: string; readonly wave?: string } },
  at: number,
  slug: string,
  standing: Standing,
): void {
  if (data.policy !== slug) return;
  if (type === 'policy.stopped') {
    standing.stoppedAt = at;
    const wave = standing.waves.get(data.wave ?? '');
    if (wave !== undefined) wave.isStopped = true;
  } else if (type === 'policy.resumed') {
    standing.stoppedAt = null;
    for (const wave of standing.waves.values()) wave.forgiven = wave.failed.size;
  }
}

const FAILED = ['rotation.failed', 'rotation.rolled_back'];

function takeInEnds({ ref, at, drafts }: CommitEvent, { waves }: Standing): void {
  for (const draft of drafts) {
    const { type, rotation } = JSON.parse(draft);
    const wave = [...waves.values()].find(({ begun }) => begun.get(ref) === rotation);
    if (wave === undefined) continue;
    if (type === 'key.activated' && !wave.proven.has(ref)) wave.proven.set(ref, at);
    if (FAILED.includes(type) && !wave.failed.has(ref)) wave.failed.set(ref, at);
  }
}

function judgeStart(start: Start, { ref, at }: CommitEvent, standing: Standing, say: Say): void {
  const { setting, stoppedAt, waves } = standing;
  if (stoppedAt !== null && at > stoppedAt + UNSEEN_MS)
    say('stopped_wave', ref, `a rotation began ${Math.round(at - stoppedAt)} ms after its wave was stopped`);
  if (start.wave === null) {
    judgeAlone(ref, at, standing, say);
    return;
  }
  const wave = waves.get(start.wave);
  if (wave === undefined) {
    say('cohort', ref, `began with a wave that never did (${start.wave})`);
    return;
  }
  const isFirst = wave.begun.has(ref) || wave.begun.size < wave.first;
  if (!isFirst) judgeRest(wave, ref, at, setting, say);
  wave.begun.set(ref, start.id);
}

/** One that belongs to no wave: then there were few. */
function judgeAlone(ref: string, at: number, { setting, records }: Standing, say: Say): void {
  const idle = [...records.values()].filter((record) => record?.rotation === null);
  const due = idle.filter((record) => isDue(record, setting, at - UNSEEN_MS));
  const most = due.some((record) => changesAlg(record, setting)) ? 2 : LARGE;
  if (due.length >= most) say('no_cohort', ref, `began without a cohort, and ${due.length} clients were due`);
}

function judgeRest(wave: Wave, ref: string, at: number, setting: Setting, say: Say): void {
  const { first, begun, failed, forgiven } = wave;
  const open = openOf(wave);
  if (open.length > 0)
    say('cohort', ref, `began while ${open.length} of the ${first} clients that went first were not proven`);
  // What became of the first ones is known by now; others that failed a moment ago need not be.
  const firstOnes = [...begun.keys()].slice(0, first);
  const known = [...failed].filter(([client, failedAt]) => firstOnes.includes(client) || failedAt < at - UNSEEN_MS);
  if (known.length - forgiven >= setting.stopAfter)
    say('stopped_wave', ref, `began although ${known.length} rotations of its wave had failed`);
}

/** What failed before the others began was to stop it. */
function judgeEnd({ first, begun, failed, isStopped }: Wave, endedAt: number, { setting }: Standing, say: Say): void {
  if (isStopped || begun.size > first || failed.size < setting.stopAfter) return;
  const lastAt = Math.max(...failed.values());
  if (endedAt > lastAt + STOPPED_MS)
    say('not_stopped', null, `${failed.size} of the ${first} rotations that went first failed, and nothing stopped`);
}

function activeIn(record: StoredRecord | null) {
  return record?.keys.find(({ state }) => state === 'active');
}

function changesAlg(record: StoredRecord | null, { policy: { alg } }: Setting): boolean {
  return alg !== undefined && activeIn(record)?.alg !== alg;
}

/** Whatever is under way for it. */
function isDue(record: StoredRecord | null, setting: Setting, at: number): boolean {
  const active = activeIn(record);
  if (record?.enrolment !== 'enrolled' || record.halted !== null || active === undefined) return false;
  if (changesAlg(record, setting)) return true;
  const { rotate_every: every = '30d' } = setting.policy;
  return (active.activatedAt ?? 0) + durationMs(every) <= at;
}
