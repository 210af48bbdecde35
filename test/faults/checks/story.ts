/** A rotation told by hand: all that a good one leaves behind, step by step, so that a test can leave out, move or change one of them. */
import type { LogEntry } from '../../emulator/log.ts';
import type { TestKey } from '../../emulator/testing.ts';
import type { AuditLine, Evidence, StoredEnd, StoredRecord } from '../evidence/evidence.ts';
import type { Event, Untimed } from '../evidence/history.ts';
import { DEPLOYMENT } from '../names.ts';
import {
  BEGIN,
  client,
  documentOf,
  endOf,
  fresh,
  gone,
  intentOf,
  kidOf,
  leaving,
  old,
  PACE_MS,
  ROTATION,
  recordOf,
  summary,
  under,
} from './subject.ts';

export interface Draft {
  readonly type: string;
  readonly actor?: string;
  readonly rotation?: string | null;
  readonly data?: { readonly [name: string]: unknown };
}

interface Commit {
  readonly record: StoredRecord;
  readonly drafts: readonly Draft[];
  readonly ended?: readonly StoredEnd[];
  /** What its writer believed, when that differs from what the store holds. */
  readonly expected?: { readonly op: string; readonly claim: string };
}

/** What one step leaves behind. `request` takes `takesMs` until it is carried out, or is never when that is null. */
export type Step = { readonly name: string; readonly ref?: string } & (
  | { readonly event: Untimed<Event> }
  | { readonly commit: Commit }
  | { readonly request: Partial<LogEntry>; readonly takesMs?: number | null }
);

export function rotation(): readonly Step[] {
  const both = [
    [old, 'active'],
    [fresh, 'pre-active'],
  ] as const;
  const flipped = [
    [old, 'deactivated'],
    [fresh, 'active'],
  ] as const;
  const [next, kids] = [kidOf(fresh), [old.kid, kidOf(fresh)]];
  const commit = (name: string, record: StoredRecord, ...drafts: Draft[]): Step => ({
    name,
    commit: { record, drafts },
  });
  const first = commit(
    'intent',
    recordOf(both, { ...under('delivered'), server: intentOf(documentOf(old, fresh), 7) }),
    { type: 'key.publishing' },
  );
  const second = recordOf(flipped, { ...leaving('withdrawing'), server: intentOf(documentOf(fresh), 14) });
  return [
    { name: 'snapshot', event: snapshotOf() },
    { name: 'login', event: { kind: 'login', ref: client.ref, result: 'ok', tried: [], refused: [] } },
    { name: 'claim', event: { kind: 'claim', ref: client.ref, claim: 'second', epoch: '2' } },
    commit(
      'request',
      recordOf([[old, 'active']], under('requested')),
      { type: 'rotation.requested' },
      { type: 'rotation.started' },
    ),
    { name: 'seal', event: { kind: 'sealed', ref: client.ref, kid: next } },
    commit(
      'generate',
      recordOf(both, under('stored')),
      { type: 'key.generated', data: { kid: next } },
      { type: 'key.stored', data: { kid: next } },
    ),
    commit('deliver', recordOf(both, under('delivered')), { type: 'key.delivered' }),
    first,
    { name: 'patch', request: { body: documentOf(old, fresh), status: 200 } },
    commit('published', recordOf(both, under('published')), { type: 'key.published', data: { status: 200, kids } }),
    {
      name: 'proof',
      request: { api: 'runtime', method: 'POST', path: '/oauth/introspect', status: 200, authenticatedKid: next },
    },
    commit('proven', recordOf(both, under('proven')), { type: 'key.proven' }),
    commit(
      'activate',
      recordOf(flipped, leaving('overlap')),
      { type: 'key.activated', data: { kid: next } },
      { type: 'key.deactivated', data: { kid: old.kid } },
    ),
    { name: 'login again', event: { kind: 'login', ref: client.ref, result: 'ok', tried: [], refused: [] } },
    commit('withdrawal', second, { type: 'key.publishing' }),
    { name: 'withdraw', request: { body: documentOf(fresh), status: 200 } },
    commit('withdrawn', recordOf(flipped, leaving('withdrawn')), {
      type: 'key.published',
      data: { status: 200, kids: [next] },
    }),
    { name: 'refusal', request: refusal(old.kid) },
    commit('refused', recordOf(flipped, leaving('refused')), { type: 'key.proven' }),
    { name: 'erase', event: { kind: 'erased', ref: client.ref, kid: kidOf(old) } },
    {
      name: 'destroy',
      commit: {
        record: recordOf([[fresh, 'active']], gone),
        drafts: [{ type: 'key.destroyed', data: { kid: old.kid } }, { type: 'rotation.completed' }],
        ended: [summary('finished')],
      },
    },
  ];
}

/** What the server says to an assertion of that name whose key it does not hold. */
export function refusal(name: string): Partial<LogEntry> {
  const path = '/oauth/introspect';
  return { api: 'runtime', method: 'POST', path, status: 400, verdict: 'invalid_request', presentedKid: name };
}

/** Redis as it comes back: with that record, and with these private halves. */
export function snapshotOf(
  record = recordOf([[old, 'active']]),
  sealed: readonly TestKey[] = [old],
  stands = { version: '1', op: 'op-1', claim: 'first', epoch: '1' },
  leftAlone: Readonly<Record<string, number>> = {},
): Untimed<Event> {
  const clients = { [client.ref]: { ...stands, record: JSON.stringify(record), sealed: sealed.map(kidOf) } };
  return { kind: 'snapshot', clients, leftAlone };
}

export const without = (steps: readonly Step[], ...names: readonly string[]) =>
  steps.filter(({ name }) => !names.includes(name));

/** The step `name` somewhere else: right after the one called `after`. */
export function moved(steps: readonly Step[], name: string, after: string): readonly Step[] {
  return added(without(steps, name), after, stepOf(steps, name));
}

export function added(steps: readonly Step[], after: string, ...more: readonly Step[]): readonly Step[] {
  return steps.flatMap((step) => (step.name === after ? [step, ...more] : [step]));
}

export function changed(steps: readonly Step[], name: string, change: (step: Step) => object): readonly Step[] {
  stepOf(steps, name);
  return steps.map((step) => (step.name === name ? ({ ...step, ...change(step) } as Step) : step)); // each test changes what its step has
}

function stepOf(steps: readonly Step[], name: string): Step {
  const found = steps.find((step) => step.name === name);
  if (found === undefined) throw new Error(`the story has no step ${name}`);
  return found;
}

/** The story as the harness would have it; how it all ended is not a part of it. */
export function evidenceOf(steps: readonly Step[], change: Partial<Evidence> = {}): Evidence {
  const events: Event[] = [];
  const requests: LogEntry[] = [];
  const audit: AuditLine[] = [];
  let [version, claim] = [1, 'first'];
  steps.forEach((step, index) => {
    const at = BEGIN + index * PACE_MS;
    if ('event' in step) {
      if (step.event.kind === 'claim' && step.event.ref === client.ref) ({ claim } = step.event);
      events.push({ ...step.event, at } as Event); // the member that `Untimed` took away
    }
    if ('request' in step) requests.push(requestOf(step, at));
    if (!('commit' in step)) return;
    const { record, drafts, ended = [], expected = { op: `op-${version}`, claim } } = step.commit;
    version += 1;
    const lines = drafts.map((draft) => ({
      client: client.ref,
      rotation: ROTATION,
      actor: 'a test',
      data: {},
      ...draft,
    }));
    for (const line of lines) audit.push({ seq: audit.length + 1, at, ...line, draft: JSON.stringify(line) });
    const written = {
      version: String(version),
      op: `op-${version}`,
      record: JSON.stringify(record),
      ended: ended.map((end) => JSON.stringify(end)),
      drafts: lines.map((line) => JSON.stringify(line)),
    };
    events.push({ kind: 'commit', at, ref: client.ref, expected, ...written });
  });
  return { events, requests, audit, auditSize: audit.length, ends: [endOf(client)], ...change };
}

function requestOf({ request, takesMs = 0 }: Extract<Step, { request: object }>, at: number): LogEntry {
  const common = {
    api: 'management',
    method: 'PATCH',
    path: '/clients',
    deployment: DEPLOYMENT,
    app: 'overlap',
  } as const;
  const done = takesMs === null ? {} : { doneAt: at + takesMs };
  return { at, ...common, client: client.id, clientId: client.clientId, body: null, status: null, ...done, ...request };
}
