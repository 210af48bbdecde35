/**
 * While the store is not the one that the workers know (empty, another one, an older state of it), nothing is written, sent or delivered, until it is
 * restored or somebody says to go on without it. The same while no replica confirms what is written: only what was confirmed before is sent.
 */

import type { Evidence } from '../evidence/evidence.ts';
import type { Event } from '../evidence/history.ts';
import type { Check, Violation } from './checker.ts';
import { SAME_MS } from './clocks.ts';
import { intentOf } from './intents.ts';
import { carriesKeys } from './keys.ts';

export const nothingIsDoneWithoutTheStore: Check = (evidence) => [
  ...stretches(evidence.events, isLoss, isReturn).flatMap((stretch) => [
    ...writtenIn(stretch, evidence),
    ...sentIn(stretch, evidence, 'sent_while_lost', 'the store was lost'),
  ]),
  ...stretches(
    evidence.events,
    ({ kind }) => kind === 'unconfirmed',
    ({ kind }) => kind === 'confirms',
  ).flatMap((stretch) => sentIn(stretch, evidence, 'unconfirmed', 'nothing was confirmed')),
];

const isLoss = (event: Event) => event.kind === 'store' && event.what === 'lost';
const isReturn = (event: Event) => event.kind === 'store' && event.what !== 'lost';

interface Stretch {
  readonly from: number;
  readonly to: number;
}

function stretches(
  events: Evidence['events'],
  begins: (event: Event) => boolean,
  ends: (event: Event) => boolean,
): readonly Stretch[] {
  return events.flatMap((event, index) => {
    if (!begins(event)) return [];
    const end = events.slice(index).find(ends);
    return [{ from: event.at, to: end?.at ?? Number.POSITIVE_INFINITY }];
  });
}

const WRITES: readonly Event['kind'][] = ['commit', 'claim', 'sealed', 'erased', 'loose_entry', 'left_alone'];

/** The one who declares a loss ends all claims first. */
function isWrite(event: Event): boolean {
  return WRITES.includes(event.kind) && !(event.kind === 'claim' && event.epoch === '');
}

function writtenIn({ from, to }: Stretch, { events }: Evidence): Violation[] {
  const written = events.filter((event) => isWrite(event) && event.at > from && event.at < to);
  return written.map((event) => ({
    rule: 'wrote_while_lost',
    ref: 'ref' in event ? event.ref : null,
    message: `${event.kind} ${Math.round(event.at - from)} ms after the store was lost`,
  }));
}

/** A PATCH whose intent was on disk before may still be on its way. */
function sentIn({ from, to }: Stretch, evidence: Evidence, rule: string, what: string): Violation[] {
  const refs = new Map(evidence.ends.map(({ client }) => [client.id, client.ref]));
  return evidence.requests.flatMap((request) => {
    if (!carriesKeys(request) || request.at <= from + SAME_MS || request.at >= to) return [];
    const ref = refs.get(request.client ?? '') ?? null;
    const intent = ref === null ? null : intentOf(request, ref, evidence);
    if (intent !== null && intent.at <= from) return [];
    return [{ rule, ref, message: `a PATCH ${Math.round(request.at - from)} ms after ${what}` }];
  });
}
