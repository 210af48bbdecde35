/**
 * Calls of the HTTP API. What was accepted happened once, however often it was asked for, and the audit log says who asked. Of what nobody may ask, and of
 * what is no reason to do anything, nothing came. Whatever comes of a call stands in the audit log under its name.
 */

import type { AuditLine, Evidence } from '../evidence/evidence.ts';
import type { Event } from '../evidence/history.ts';
import type { Check, Violation } from './checker.ts';

type Call = Extract<Event, { readonly kind: 'call' }>;
type Answer = Extract<Event, { readonly kind: 'answer' }>;

/** One call, with all of its tries. */
interface Told {
  readonly call: Call;
  readonly answers: readonly Answer[];
  /** What the caller asked for. */
  readonly called: readonly AuditLine[];
  /** What came of it, for each client. */
  readonly asked: readonly AuditLine[];
}

type Say = (rule: string, message: string) => void;

export const callsAreKept: Check = ({ events, audit }) => {
  const calls = new Map(events.flatMap((event) => (event.kind === 'call' ? [[event.name, event] as const] : [])));
  return [...calls.values()].flatMap((call) => {
    const violations: Violation[] = [];
    const say: Say = (rule, message) => void violations.push({ rule, ref: null, message: `${call.name}: ${message}` });
    const lines = audit.filter(({ reason }) => reason === call.name);
    const told: Told = {
      call,
      answers: events.filter((event) => event.kind === 'answer').filter(({ name }) => name === call.name),
      called: lines.filter(({ type }) => type === 'api.called'),
      asked: lines.filter(({ type }) => type === 'rotation.requested'),
    };
    for (const { status } of told.answers)
      if (status >= 500 && status !== 503) say('call_broken', `was answered with ${status}`);
    if (call.due === 'effect') judgeWanted(told, revokedAt(call, events), say);
    else judgeUnwanted(told, lines, say);
    return violations;
  });
};

function revokedAt({ token }: Call, events: Evidence['events']): number {
  const revoking = events.find((event) => event.kind === 'revoking' && event.token === token);
  return revoking?.at ?? Number.POSITIVE_INFINITY;
}

const isSuccess = ({ status }: Answer) => status >= 200 && status < 300;

function judgeWanted({ call, answers, called, asked }: Told, revoked: number, say: Say): void {
  const accepted = answers.filter((answer) => isSuccess(answer) && !answer.pending);
  for (const { status, at } of answers)
    if (status >= 400 && status < 500 && status !== 429 && at < revoked)
      say('call_refused', `was answered with ${status}`);
  const clients = asked.map(({ client }) => client);
  // A repetition after a power cut may have an entry of its own: that of another request, which comes to nothing.
  const requests = called.map(({ data }) => data.request);
  if (new Set(requests).size < requests.length) say('call_twice', `has two entries for one of ${requests.join(', ')}`);
  if (new Set(clients).size < clients.length)
    say('call_twice', `was carried out twice for one of ${clients.join(', ')}`);
  if (new Set(accepted.map(resultOf).filter((result) => result !== NOTHING)).size > 1)
    say('call_answers', `was answered with ${accepted.map(resultOf).join(' and ')}`);
  for (const { rotations } of accepted) {
    for (const { id } of rotations) {
      if (!asked.some(({ rotation }) => rotation === id))
        say('call_lost', `was told of ${id}, and the log knows nothing`);
    }
  }
  if (accepted.length > 0 && asked.length === 0) say('call_lost', 'was accepted, and nothing came of it');
  if (accepted.length > 0 && called.length === 0) say('call_unaudited', 'was accepted, and is not in the audit log');
  for (const { seq, claimed_by: by = 'nobody' } of [...called, ...asked])
    if (by !== `token:${call.token}`) say('call_unaudited', `entry ${seq} says that ${by} asked`);
}

/** A leak that was replaced is reported again in vain: an answer without rotations is no other one. */
const NOTHING = '[]';

function resultOf({ rotations }: Answer): string {
  return JSON.stringify([...rotations].sort((a, b) => (a.client < b.client ? -1 : 1)));
}

function judgeUnwanted({ call, answers }: Told, lines: readonly AuditLine[], say: Say): void {
  const came = lines.filter(({ type }) => type !== 'rotation.refused').map(({ seq, type }) => `${seq} ${type}`);
  if (call.due === 'nothing') {
    if (came.length > 0) say('call_for_nothing', `came to ${came.join(', ')}`);
    return;
  }
  if (came.length > 0) say('let_in', `nobody may ask for it, and it came to ${came.join(', ')}`);
  for (const answer of answers) if (isSuccess(answer)) say('let_in', `port ${answer.port} answered ${answer.status}`);
}

interface Listener {
  readonly rotation: string;
  readonly heard: { readonly seq: number; readonly type: string }[];
  isDone: boolean;
}

/** Each listener hears every entry of its rotation once and in order, wherever it is cut off. */
export const eventsAreTold: Check = ({ events, audit }) => {
  const listeners = new Map<string, Listener>();
  for (const event of events) {
    if (event.kind !== 'told' && event.kind !== 'told_all') continue;
    const listener = listeners.get(event.listener) ?? { rotation: event.rotation, heard: [], isDone: false };
    listeners.set(event.listener, listener);
    if (event.kind === 'told') listener.heard.push(event);
    else listener.isDone = true;
  }
  return [...listeners].flatMap(([name, { rotation, heard, isDone }]) => {
    const say = (rule: string, message: string) => [{ rule, ref: null, message: `${name}: ${message}` }];
    const written = audit.filter((line) => line.rotation === rotation);
    const seqs = heard.map(({ seq }) => seq);
    const until = isDone ? Number.POSITIVE_INFINITY : (seqs.at(-1) ?? 0);
    const missing = written.map(({ seq }) => seq).filter((seq) => seq <= until && !seqs.includes(seq));
    const strange = heard.filter((event) => !written.some(({ seq, type }) => seq === event.seq && type === event.type));
    const isOrdered = seqs.every((seq, index) => index === 0 || seq > (seqs[index - 1] ?? 0));
    return [
      ...(missing.length > 0 ? say('event_lost', `was never told of ${missing.join(', ')}`) : []),
      ...(strange.length > 0
        ? say('event_strange', `was told of ${strange.map(({ seq, type }) => `${seq} as ${type}`).join(', ')}`)
        : []),
      ...(isOrdered ? [] : say('event_order', `was told of ${seqs.join(', ')}`)),
    ];
  });
};
