/** What the page shows in tests: a fleet and clients with something of everything. */

import type { QueuesView } from '../../../jobs/queues-view.ts';
import { parseReference } from '../../../src/core/client.ts';
import type { ClientStatus } from '../../../src/status/model.ts';
import type { ClientList, ClientQuery, ClientView, FleetView } from '../../../src/status/views.ts';

export const NOW = Date.parse('2026-11-27T03:12:04.000Z');

const [MINUTE, HOUR, DAY] = [60_000, 3_600_000, 86_400_000];

function iso(fromNow: number): string {
  return new Date(NOW + fromNow).toISOString();
}

const OLD = 'xK3mQ9vT2nB7wY5cR8dF1gH6jL4pS0aZ-eU_iO2tN3k';
const NEW = 'b7Yt4RzQ1mN8vC2xK6wJ9hG3fD5sA0pL_oI-uE7yT4r';

export const HEALTHY_FLEET: FleetView = {
  at: iso(0),
  reading: null,
  clients: 128,
  counts: {
    halted: 0,
    failed: 0,
    overdue: 0,
    paused: 0,
    throttled: 0,
    rotating: 2,
    due: 1,
    held: 3,
    found: 9,
    healthy: 113,
  },
  compromised: 0,
  drifted: 0,
  signers_missing: 0,
  due: { now: 1, day: 6, week: 31 },
  deployments: [
    {
      ...{ deployment: '185019846023', paused: null, throttled_until: null, clients: 128 },
      budget: { max: 10, per_seconds: 1, used: 0.2 },
      ...{ rotate_all_seconds: 340, compromise_all_seconds: 51 },
    },
  ],
  policies: [
    {
      ...{ policy: 'default', clients: 96, owner: 'team-platform', schedule: '0 3 * * *', timezone: 'UTC' },
      rotate_every_seconds: 30 * 86_400,
      next_ticks: [iso(24 * HOUR - 12 * MINUTE), iso(48 * HOUR - 12 * MINUTE), iso(72 * HOUR - 12 * MINUTE)],
      freezes: [{ from: '2026-12-18T00:00:00.000Z', until: '2027-01-04T00:00:00.000Z', active: false }],
    },
    {
      ...{ policy: 'payments', clients: 32, owner: 'team-payments', schedule: '0 2 * * 1', timezone: 'Europe/Vienna' },
      rotate_every_seconds: 14 * 86_400,
      next_ticks: [iso(3 * DAY), iso(10 * DAY), iso(17 * DAY)],
      freezes: [],
    },
  ],
  workers: [
    { host: 'rekeyd-1', pid: 1, version: '0.1.0', clock_ahead_seconds: 0, problem: null },
    { host: 'rekeyd-2', pid: 1, version: '0.1.0', clock_ahead_seconds: 0.4, problem: null },
  ],
  pauses: [],
  waves: [],
  requests: [],
  audit: {
    first: 1,
    last: 5120,
    bytes: 1_200_000,
    most_bytes: 209_715_200,
    exports: [{ export: 'audit', last: 5100, behind_seconds: 0, error: null, failing_since: null }],
  },
  webhooks: [],
};

export const TROUBLED_FLEET: FleetView = {
  ...HEALTHY_FLEET,
  reading: { read: 40_000, of: 100_000 },
  clients: 40_000,
  counts: {
    halted: 1,
    failed: 4,
    overdue: 2,
    paused: 12,
    throttled: 40,
    rotating: 118,
    due: 340,
    held: 3,
    found: 900,
    healthy: 38_580,
  },
  compromised: 1,
  drifted: 3,
  signers_missing: 1,
  due: { now: 340, day: 1_312, week: 9_200 },
  deployments: [
    {
      deployment: '185019846023',
      paused: null,
      throttled_until: iso(42_000),
      clients: 30_000,
      budget: { max: 10, per_seconds: 1, used: 0.96 },
      rotate_all_seconds: 80_000,
      compromise_all_seconds: 12_000,
    },
    {
      deployment: '185019846999',
      paused: 'The API answers 401: the API key is not accepted.',
      throttled_until: null,
      clients: 10_000,
      budget: { max: 100, per_seconds: 60, used: 0 },
      rotate_all_seconds: 26_000,
      compromise_all_seconds: null,
    },
  ],
  policies: HEALTHY_FLEET.policies.map((policy, index) =>
    index === 0 ? policy : { ...policy, freezes: [{ from: iso(-DAY), until: iso(4 * DAY), active: true }] },
  ),
  workers: [
    { host: 'rekeyd-1', pid: 1, version: '0.1.0', clock_ahead_seconds: 0, problem: null },
    { host: 'rekeyd-2', pid: 1, version: '0.1.0', clock_ahead_seconds: 74, problem: null },
    {
      host: 'rekeyd-3',
      pid: 4211,
      version: '0.0.9',
      clock_ahead_seconds: null,
      problem: 'The key folder /keys cannot be written: EACCES.',
    },
  ],
  pauses: [
    { policy: 'payments', actor: 'alice', reason: 'Black Friday', since: iso(-2 * DAY), until: iso(4 * DAY) },
    {
      client: parseReference('185019846023/mcp-auth/4711'),
      actor: 'bob',
      reason: 'A migration',
      since: iso(-HOUR),
      until: null,
    },
  ],
  waves: [
    {
      policy: 'default',
      wave: 'w1',
      phase: 'stopped',
      clients: 340,
      first: 17,
      waiting: 0,
      active: 16,
      failed: 1,
      since: iso(-12 * MINUTE),
      rest_after: iso(48 * MINUTE),
      stopped: 'A proof of 185019846023/mcp-auth/4711 was refused',
    },
    {
      policy: 'payments',
      wave: 'w2',
      phase: 'cohort',
      clients: 40,
      first: 2,
      waiting: 1,
      active: 1,
      failed: 0,
      since: iso(-8 * MINUTE),
      rest_after: iso(52 * MINUTE),
      stopped: null,
    },
  ],
  requests: [
    {
      request: 'q3mF9sKx2aQw1',
      reason: 'The vault of team payments leaked',
      why: 'It is about 38,000 of 40,000 clients and waits for one more person, other than token:siem: `rekeyd approve q3mF9sKx2aQw1`.',
    },
  ],
  audit: {
    ...HEALTHY_FLEET.audit,
    exports: [
      {
        export: 's3',
        last: 4000,
        behind_seconds: 7_200,
        error: 'The bucket answers 403.',
        failing_since: iso(-2 * HOUR),
      },
    ],
  },
  webhooks: [
    {
      webhook: 'pager',
      pending: 40,
      dead: 2,
      again: 0,
      dropped: 0,
      failing_since: iso(-30 * MINUTE),
      next_try: iso(MINUTE),
      error: 'connect ECONNREFUSED',
      stopped: null,
    },
  ],
};

const STATUS: ClientStatus = {
  client: parseReference('185019846023/mcp-auth/4711'),
  ...{
    client_id: 'payments-gateway',
    policy: 'default',
    enrolment: 'enrolled',
    state: 'healthy',
    overdue: false,
    paused: null,
    compromised: false,
  },
  active: {
    kid: NEW,
    alg: 'ES256',
    state: 'active',
    created_at: iso(-9 * DAY),
    published_at: iso(-9 * DAY + 1_000),
    activated_at: iso(-9 * DAY + 63_000),
    destroyed_at: null,
    proof: 'accepted',
    age_seconds: 9 * 86_400,
  },
  keys: [
    {
      kid: NEW,
      alg: 'ES256',
      state: 'active',
      created_at: iso(-9 * DAY),
      published_at: iso(-9 * DAY + 1_000),
      activated_at: iso(-9 * DAY + 63_000),
      destroyed_at: null,
      proof: 'accepted',
    },
    {
      kid: OLD,
      alg: null,
      state: 'destroyed',
      created_at: null,
      published_at: null,
      activated_at: null,
      destroyed_at: iso(-9 * DAY + 664_000),
      proof: null,
    },
  ],
  ...{ next_due: iso(21 * DAY), due: null, rotation: null, retiring: [] },
  signers: {
    ...{ heard_at: iso(-20_000), error: null, missing: [] },
    reports: [
      { name: 'gateway-a-31', kids: [NEW], signing: NEW, at: iso(-25_000), recent: true },
      { name: 'gateway-b-17', kids: [OLD], signing: OLD, at: iso(-9 * DAY), recent: false },
    ],
  },
  ...{ waiting: null, drift: null, last_error: null, halted: null },
};

const DOCUMENT = {
  alg: 'ES256',
  jwks_uri: null,
  keys: [{ kid: NEW, origin: 'ours', thumbprint: NEW, id: 'id-new', kty: 'EC', alg: 'ES256', pem: 'same' }],
} as const;

/** A rotation of eleven minutes within months. */
export const HEALTHY_CLIENT: ClientView = {
  status: STATUS,
  lifeline: {
    ...{ now: NOW, from: NOW - 130 * DAY, until: NOW + 21 * DAY },
    keys: [0, 1, 2, 3].map((index) => {
      const began = NOW - (9 + 30 * (3 - index)) * DAY;
      const next = began + 30 * DAY;
      return {
        kid: index === 3 ? NEW : index === 2 ? OLD : `${index}${OLD.slice(1)}`,
        ...{ alg: index === 0 ? 'RS256' : 'ES256', ours: true },
        spans:
          index === 3
            ? [
                { state: 'pre-active', from: began, to: began + 63_000 },
                { state: 'active', from: began + 63_000, to: null },
              ]
            : [
                { state: 'pre-active', from: began, to: began + 63_000 },
                { state: 'active', from: began + 63_000, to: next + 63_000 },
                { state: 'deactivated', from: next + 63_000, to: next + 664_000 },
              ],
        until: null,
      } as const;
    }),
    marks: [0, 1, 2, 3].flatMap((index) => {
      const began = NOW - (9 + 30 * (3 - index)) * DAY;
      const [kid, old] = [
        index === 3 ? NEW : index === 2 ? OLD : `${index}${OLD.slice(1)}`,
        index === 0 ? null : index === 3 ? OLD : `${index - 1}${OLD.slice(1)}`,
      ];
      return [
        { at: began + 1_000, what: 'patched', kid: null },
        { at: began + 62_000, what: 'accepted', kid },
        { at: began + 663_000, what: 'patched', kid: null },
        ...(old === null ? [] : [{ at: began + 664_000, what: 'refused', kid: old } as const]),
      ] as const;
    }),
    planned: [{ at: NOW + 21 * DAY, what: 'the schedule rotates it', kid: null }],
  },
  rotations: [
    {
      id: 'r_19f2',
      state: 'finished',
      strategy: 'overlap',
      kid: NEW,
      replaces: OLD,
      rollback: false,
      actor: 'schedule:default',
      claimed_by: null,
      reason: 'the active key was due at 2026-11-18T03:00:00.000Z',
      started_at: iso(-9 * DAY),
      active_at: iso(-9 * DAY + 63_000),
      ended_at: iso(-9 * DAY + 664_000),
      error: null,
    },
    {
      id: 'r_18a0',
      state: 'failed',
      strategy: 'overlap',
      kid: 'f00',
      replaces: OLD,
      rollback: false,
      actor: 'alice',
      claimed_by: 'token:siem',
      reason: 'A drill',
      started_at: iso(-12 * DAY),
      active_at: null,
      ended_at: iso(-12 * DAY + 90_000),
      error: 'The server refuses the new key: 400 invalid_request.',
    },
  ],
  entries: [
    {
      seq: 5119,
      time: iso(-9 * DAY + 664_000),
      type: 'rotation.completed',
      client: STATUS.client,
      rotation: 'r_19f2',
      actor: 'schedule:default',
      reason: 'the active key was due',
      data: { outcome: 'finished', kids: [NEW, OLD] },
    },
    {
      seq: 5102,
      time: iso(-9 * DAY),
      type: 'rotation.started',
      client: STATUS.client,
      rotation: 'r_19f2',
      actor: 'schedule:default',
      claimed_by: 'os:rekeyd',
      reason: 'the active key was due',
      data: { strategy: 'overlap' },
    },
  ],
  drift: {
    client: STATUS.client,
    client_id: STATUS.client_id,
    enrolment: 'enrolled',
    since: null,
    what: [],
    by_itself: 'Nothing: the server shows what rekeyd expects.',
    to_do: null,
    ours: DOCUMENT,
    server: DOCUMENT,
  },
  advice: null,
};

/** A rotation under way that has drifted, waits, lacks a signer and has failed once. */
export const TROUBLED_CLIENT: ClientView = {
  ...HEALTHY_CLIENT,
  status: {
    ...STATUS,
    ...{
      state: 'rotating',
      overdue: true,
      compromised: true,
      halted: 'two PATCHes in a row came back changed',
      last_error: 'The API answers 503. It is tried again.',
    },
    paused: { client: STATUS.client, actor: 'bob', reason: 'A migration', since: iso(-HOUR), until: iso(HOUR) },
    due: { reason: 'too_old', message: 'the active key was due at 2026-11-27T03:00:00.000Z' },
    rotation: {
      id: 'r_20c1',
      strategy: 'overlap',
      phase: 'soaking',
      kid: NEW,
      offered_until: null,
      since: iso(-40_000),
      rollback: false,
      attempts: 1,
      next_try: iso(3_000),
      error: 'The API answers 503.',
      compromised: false,
      actor: 'schedule:default',
      reason: 'the active key was due',
    },
    retiring: [
      {
        kid: OLD,
        rotation: 'r_19f2',
        role: 'replaced',
        phase: 'overlap',
        until: iso(560_000),
        attempts: 0,
        error: null,
      },
    ],
    signers: {
      heard_at: iso(-2_000),
      error: 'reports of gateway-c: not JSON',
      missing: ['gateway-b-17'],
      reports: STATUS.signers?.reports ?? [],
    },
    waiting: { why: 'the new key soaks for 60 s', until: iso(20_000) },
    drift: {
      since: iso(-2 * HOUR),
      what: ['document', 'foreign_added'],
      differences: ['the registered alg is RS256 instead of ES256', 'the foreign key backdoor appeared'],
    },
    exposures: [
      { kid: OLD, reported_at: iso(-HOUR), refused_at: iso(-50 * MINUTE), seconds: 600, tokens_until: iso(HOUR) },
    ],
  },
  lifeline: {
    ...{ now: NOW, from: NOW - 30 * DAY, until: NOW + 700_000 },
    keys: [
      {
        kid: null,
        alg: null,
        ours: false,
        spans: [{ state: 'active', from: NOW - 30 * DAY, to: NOW - 20 * DAY }],
        until: null,
      },
      {
        kid: OLD,
        alg: 'ES256',
        ours: true,
        spans: [
          { state: 'active', from: NOW - 20 * DAY, to: NOW - 3_600_000 },
          { state: 'compromised', from: NOW - 3_600_000, to: null },
        ],
        until: NOW + 640_000,
      },
      {
        kid: NEW,
        alg: 'ES256',
        ours: true,
        spans: [{ state: 'pre-active', from: NOW - 40_000, to: null }],
        until: null,
      },
    ],
    marks: [
      { at: NOW - 39_000, what: 'patched', kid: null },
      { at: NOW - 20 * DAY, what: 'accepted', kid: OLD },
    ],
    planned: [
      { at: NOW + 21_000, what: 'the new key is proven', kid: NEW },
      { at: NOW + 22_000, what: 'the new key becomes active', kid: NEW },
      { at: NOW + 640_000, what: 'the old key is taken from the server', kid: OLD },
    ],
  },
  rotations: [
    {
      id: 'r_20c1',
      state: 'running',
      strategy: 'overlap',
      kid: NEW,
      replaces: OLD,
      rollback: false,
      actor: 'schedule:default',
      claimed_by: null,
      reason: 'the active key was due',
      started_at: iso(-40_000),
      active_at: null,
      ended_at: null,
      error: 'The API answers 503.',
    },
    ...HEALTHY_CLIENT.rotations,
  ],
  drift: {
    ...HEALTHY_CLIENT.drift,
    since: iso(-2 * HOUR),
    what: [
      { kind: 'document', text: 'the registered alg is RS256 instead of ES256' },
      { kind: 'foreign_added', text: 'the foreign key backdoor appeared' },
    ],
    by_itself: 'Its own document is published again.',
    to_do: 'To keep what the server shows, before that: `rekeyd drift accept 185019846023/mcp-auth/4711`.',
    ours: {
      ...DOCUMENT,
      keys: [
        ...DOCUMENT.keys,
        { kid: OLD, origin: 'ours', thumbprint: OLD, id: 'id-old', kty: 'EC', alg: 'ES256', pem: 'same' },
      ],
    },
    server: {
      alg: 'RS256',
      jwks_uri: null,
      keys: [
        { kid: OLD, origin: 'ours', thumbprint: OLD, id: 'id-old', kty: 'EC', alg: 'ES256', pem: 'other' },
        { kid: 'backdoor', origin: 'foreign', thumbprint: null, id: 'id-other', kty: 'RSA', alg: null, pem: 'none' },
        { kid: NEW, origin: 'ours', thumbprint: NEW, id: 'id-new', kty: 'EC', alg: 'ES256', pem: 'same' },
      ],
    },
  },
  advice: 'Find the program that changes its keys, then `rekeyd rotate 185019846023/mcp-auth/4711`.',
};

export const CLIENT_LIST: ClientList = {
  clients: [
    { ...TROUBLED_CLIENT.status, state: 'halted', rotation: null },
    {
      ...STATUS,
      client: parseReference('185019846023/mcp-auth/9001'),
      client_id: 'mobile-app',
      state: 'failed',
      last_error: 'The server refuses the new key: 400 invalid_request: InvalidAlgorithm. The old key was put back.',
    },
    {
      ...STATUS,
      client: parseReference('185019846023/billing/77'),
      client_id: 'billing-batch',
      state: 'paused',
      paused: { policy: 'payments', actor: 'alice', reason: 'Black Friday', since: iso(-DAY), until: null },
    },
    {
      ...STATUS,
      client: parseReference('185019846023/billing/78'),
      client_id: 'reports',
      state: 'found',
      active: null,
      policy: null,
      next_due: null,
    },
    ...[1, 2, 3, 4].map((index) => ({
      ...STATUS,
      client: parseReference(`185019846023/mcp-auth/800${index}`),
      client_id: `service-${index}`,
    })),
  ],
  next: 'cursor-2',
  matching: 128,
  reading: { read: 40, of: 128 },
};

export const QUERY: ClientQuery = {
  text: 'pay',
  state: 'failed',
  app: '185019846023/mcp-auth',
  policy: 'default',
  drifted: true,
  order: 'urgency',
  after: 'cursor-1',
  limit: 50,
  only: null,
};

export const QUEUES: QueuesView = {
  at: iso(0),
  queues: [
    {
      queue: 'rotate-185019846023',
      what: 'rotations of deployment 185019846023',
      waiting: 12,
      active: 3,
      delayed: 118,
      failed: 0,
    },
    {
      queue: 'requests',
      what: 'requests of commands, the API and this page',
      waiting: 0,
      active: 0,
      delayed: 1,
      failed: 2,
    },
    { queue: 'upkeep', what: 'sweeps, lists of clients, seals', waiting: 0, active: 1, delayed: 2, failed: 0 },
  ],
  failed: [
    {
      queue: 'requests',
      job: 'qAb3',
      name: 'request',
      reason: 'No client is selected: 185019846023/mcp-auth/1 is not known.',
      at: iso(-HOUR),
    },
  ],
  more: 1,
};
