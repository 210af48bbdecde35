import type { ClientView } from '../../../../src/status/views.ts';
import { DAY, HOUR, iso, MINUTE, NEW, NOW, OLD } from './common.ts';
import { DOCUMENT, HEALTHY_CLIENT, STATUS } from './healthy-client.ts';

/** A rotation under way that has drifted, waits, lacks a signer and has failed once. */
export const TROUBLED_CLIENT: ClientView = {
  ...HEALTHY_CLIENT,
  status: {
    ...STATUS,
    advice: 'Find the program that changes its keys, then `rekeyd rotate 185019846023/mcp-auth/4711`.',
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
};
