import { parseReference } from '../../../../src/core/client.ts';
import type { ClientStatus, KeyStatus } from '../../../../src/status/model.ts';
import type { ClientView } from '../../../../src/status/views.ts';
import { DAY, iso, NEW, NOW, OLD } from './common.ts';

const KEY: KeyStatus = {
  kid: NEW,
  alg: 'ES256',
  state: 'active',
  created_at: iso(-9 * DAY),
  published_at: iso(-9 * DAY + 1_000),
  activated_at: iso(-9 * DAY + 63_000),
  destroyed_at: null,
  proof: 'accepted',
};

export const STATUS: ClientStatus = {
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
  active: { ...KEY, age_seconds: 9 * 86_400 },
  keys: [
    KEY,
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

export const DOCUMENT = {
  alg: 'ES256',
  jwks_uri: null,
  keys: [{ kid: NEW, origin: 'ours', thumbprint: NEW, id: 'id-new', kty: 'EC', alg: 'ES256', pem: 'same' }],
} as const;

/** A rotation of eleven minutes within months. */
export const HEALTHY_CLIENT: ClientView = {
  status: { ...STATUS, advice: null },
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
};
