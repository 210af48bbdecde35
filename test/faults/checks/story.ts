/** A rotation told by hand: all that a good one leaves behind, step by step, so that a test can leave out, move or change one of them. */
import type { LogEntry } from '../../emulator/log.ts';
import { makeKey, type TestKey, withPem } from '../../emulator/testing.ts';
import type { AuditLine, Evidence, JwkMembers, StoredRecord } from '../evidence.ts';
import type { FaultClient } from '../fleet.ts';
import type { Event, Untimed } from '../history.ts';
import { DEPLOYMENT } from '../names.ts';
import { thumbprintOf } from './keys.ts';

/** From one step to the next, in ms. */
export const PACE_MS = 100;
export const BEGIN = 1_000_000;

export interface Draft {
  readonly type: string;
  readonly rotation?: string | null;
  readonly data?: { readonly [name: string]: unknown };
}

interface Commit {
  readonly record: StoredRecord;
  readonly drafts: readonly Draft[];
  /** What its writer believed, when that is not what stands there. */
  readonly expected?: { readonly version: string; readonly epoch: string };
}

/** What one step leaves behind. `request` takes `takesMs` until it is carried out, or is never when that is null. */
export type Step = { readonly name: string; readonly ref?: string } & (
  | { readonly event: Untimed<Event> }
  | { readonly commit: Commit }
  | { readonly request: Partial<LogEntry>; readonly takesMs?: number | null }
);

export const [old, fresh, foreign] = ['ES256', 'ES256', 'ES256'].map((alg) => makeKey(alg)) as [
  TestKey,
  TestKey,
  TestKey,
]; // as many as algs
export const kidOf = (key: TestKey) => thumbprintOf({ ...key.jwk });
export const ROTATION = 'rotation-1';

/** A client of an overlap, with somebody else's key beside its own. */
export const client: FaultClient = {
  ref: `${DEPLOYMENT}/overlap/1`,
  id: '1',
  clientId: 'oc_1',
  app: {
    slug: 'overlap',
    selection: 'jwks_kid',
    policy: { strategy: 'overlap' },
    ends: 'finished',
    logins: 'one',
    clients: [],
  },
  initial: { kid: old.kid, jwk: { ...old.jwk } as FaultClient['initial']['jwk'] }, // jose's type of the same object
  foreign: [withPem(foreign)],
  visitors: [],
  folder: '/nowhere',
  host: 'overlap.example.com',
};

export const neighbour: FaultClient = {
  ...client,
  ref: `${DEPLOYMENT}/overlap/2`,
  id: '2',
  clientId: 'oc_2',
  foreign: [],
};

type State = 'pre-active' | 'active' | 'deactivated' | 'destroyed';

const managed = (key: TestKey, state: State) => ({
  kid: key === old ? old.kid : kidOf(key),
  thumbprint: kidOf(key),
  alg: key.alg,
  state,
});

export function recordOf(
  states: readonly (readonly [TestKey, State])[],
  more: Partial<StoredRecord> = {},
): StoredRecord {
  const keys = states.map(([key, state]) => managed(key, state));
  return { keys, rotation: null, retiring: [], inFlight: null, halted: null, lastError: null, history: [], ...more };
}

const summary = (state: string) => [{ id: ROTATION, state, error: null }];

/** The rotation under way, in that phase. */
export const under = (name: string) => ({
  rotation: { id: ROTATION, strategy: 'overlap', compromised: null, phase: { name } },
  history: summary('running'),
});

export const documentOf = (...keys: readonly TestKey[]) => ({
  jwks: { keys: [...keys.map((key) => ({ ...withPem(key), kid: managed(key, 'active').kid })), withPem(foreign)] },
});

/** An intent is good for as long as five steps take. */
export const intentOf = (document: object, step: number) => ({ document, deadline: BEGIN + (step + 5) * PACE_MS });

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
    recordOf(both, { ...under('delivered'), inFlight: intentOf(documentOf(old, fresh), 7) }),
    { type: 'key.publishing' },
  );
  const second = recordOf(flipped, { history: summary('active'), inFlight: intentOf(documentOf(fresh), 14) });
  return [
    { name: 'snapshot', event: { kind: 'snapshot', clients: snapshotOf() } },
    { name: 'login', event: { kind: 'login', ref: client.ref, result: 'ok', tried: [] } },
    { name: 'claim', event: { kind: 'claim', ref: client.ref, epoch: '2' } },
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
      recordOf(flipped, { history: summary('active') }),
      { type: 'key.activated', data: { kid: next } },
      { type: 'key.deactivated', data: { kid: old.kid } },
    ),
    { name: 'login again', event: { kind: 'login', ref: client.ref, result: 'ok', tried: [] } },
    commit('withdrawal', second, { type: 'key.publishing' }),
    { name: 'withdraw', request: { body: documentOf(fresh), status: 200 } },
    commit('withdrawn', recordOf(flipped, { history: summary('active') }), {
      type: 'key.published',
      data: { status: 200, kids: [next] },
    }),
    { name: 'erase', event: { kind: 'erased', ref: client.ref, kid: kidOf(old) } },
    commit(
      'destroy',
      recordOf(
        [
          [old, 'destroyed'],
          [fresh, 'active'],
        ],
        { history: summary('finished') },
      ),
      { type: 'key.destroyed', data: { kid: old.kid } },
      { type: 'rotation.completed' },
    ),
  ];
}

export function snapshotOf(
  record = recordOf([[old, 'active']]),
  sealed: readonly TestKey[] = [old],
  version = '1',
  epoch = '1',
) {
  return { [client.ref]: { version, epoch, record: JSON.stringify(record), sealed: sealed.map(kidOf) } };
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
  let [version, epoch] = [1, '1'];
  steps.forEach((step, index) => {
    const at = BEGIN + index * PACE_MS;
    if ('event' in step) {
      if (step.event.kind === 'claim' && step.event.ref === client.ref) ({ epoch } = step.event);
      events.push({ ...step.event, at } as Event); // the member that `Untimed` took away
    }
    if ('request' in step) requests.push(requestOf(step, at));
    if (!('commit' in step)) return;
    const { record, drafts, expected = { version: String(version), epoch } } = step.commit;
    version += 1;
    const lines = drafts.map((draft) => ({ client: client.ref, rotation: ROTATION, data: {}, ...draft }));
    for (const line of lines) audit.push({ seq: audit.length + 1, at, ...line, draft: JSON.stringify(line) });
    const written = {
      version: String(version),
      record: JSON.stringify(record),
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

export function endOf(of: FaultClient): Evidence['ends'][number] {
  const record = recordOf(
    [
      [old, 'destroyed'],
      [fresh, 'active'],
    ],
    { history: summary('finished') },
  );
  const keys: readonly JwkMembers[] = [...documentOf(fresh).jwks.keys];
  return {
    client: of,
    record,
    sealed: new Map(),
    server: { keys, jwksUri: null },
    folder: new Map(),
    served: null,
    open: false,
  };
}
