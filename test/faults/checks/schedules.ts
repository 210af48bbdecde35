/** While a person has paused a client, an app, a policy or everybody, and on the days of a freeze, no schedule begins a rotation. */

import type { StoredRecord } from '../evidence/evidence.ts';
import { DEPLOYMENT } from '../names.ts';
import type { FaultClient } from '../stage/fleet.ts';
import type { Check, Violation } from './checker.ts';
import { startIn } from './starts.ts';

/** A pause is asked for just before a rotation is begun: that long before, in ms, on a busy machine. */
const ASKED_MS = 2_000;

const DAY_MS = 86_400_000;

interface Pause {
  readonly at: number;
  readonly until: number;
}

export const schedulesAreHeldBack: Check = ({ events, ends }) => {
  const clients = new Map(ends.map(({ client }) => [client.ref, client]));
  const records = new Map<string, StoredRecord | null>();
  const pauses = new Map<string, Pause>();
  return events.flatMap((event): readonly Violation[] => {
    switch (event.kind) {
      case 'snapshot':
        for (const [ref, { record }] of Object.entries(event.clients)) records.set(ref, JSON.parse(record));
        return [];
      case 'loose_entry':
        takeInEntry(JSON.parse(event.draft), event.at, pauses);
        return [];
      case 'commit': {
        const record: StoredRecord = JSON.parse(event.record);
        const start = startIn(records.get(event.ref) ?? null, record);
        records.set(event.ref, record);
        const client = clients.get(event.ref);
        return start === null || client === undefined ? [] : judgeStart(client, event.at, pauses);
      }
      default:
        return [];
    }
  });
};

/** What a pause covers, in one word. */
function scopeOf({ client, app, policy }: { readonly [name: string]: unknown }): string {
  return `${client ?? app ?? policy ?? 'all'}`;
}

function takeInEntry(
  { type, data }: { readonly type: string; readonly data: { readonly [name: string]: unknown } },
  at: number,
  pauses: Map<string, Pause>,
): void {
  if (type === 'schedule.resumed') pauses.delete(scopeOf(data));
  if (type !== 'schedule.paused') return;
  const until = typeof data.until === 'string' ? Date.parse(data.until) : Number.POSITIVE_INFINITY;
  pauses.set(scopeOf(data), { at, until });
}

function judgeStart({ ref, app }: FaultClient, at: number, pauses: ReadonlyMap<string, Pause>): readonly Violation[] {
  const covering = [ref, `${DEPLOYMENT}/${app.slug}`, app.slug, 'all'].flatMap((scope) => pauses.get(scope) ?? []);
  const isPaused = covering.some((pause) => at > pause.at + ASKED_MS && at < pause.until);
  const frozen = (Array.isArray(app.policy.freeze) ? app.policy.freeze : []).find((days) => isWithin(`${days}`, at));
  return [
    ...(isPaused ? [{ rule: 'paused_schedule', ref, message: 'a schedule began a rotation during a pause' }] : []),
    ...(frozen === undefined
      ? []
      : [{ rule: 'frozen_schedule', ref, message: `a schedule began a rotation during the freeze ${frozen}` }]),
  ];
}

/** First and last day, in UTC, both included. */
function isWithin(days: string, at: number): boolean {
  const [first = '', last = ''] = days.split('/');
  return at >= Date.parse(first) && at < Date.parse(last) + DAY_MS;
}
