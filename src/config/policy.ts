/** `policies`: who is rotated when, and how. */
import { z } from 'zod';
import { ALGORITHMS } from '../core/keys.ts';
import { cohort } from './cohort.ts';
import { ROTATE_EVERY } from './defaults.ts';
import { choice, count, duration, flag, section, text } from './fields.ts';
import type { PolicyConfig } from './model.ts';
import * as time from './time-fields.ts';

function owner(description: string) {
  const expected = 'a name such as team-payments, at most 100 characters on one line';
  return text({ description }, expected, (value, refuse) =>
    /^[^\p{C}\p{Zl}\p{Zp}]{1,100}$/u.test(value) ? value : refuse(`is not usable: write ${expected}`),
  );
}

export const policy = section({
  schedule: time.cron('When rekeyd looks for clients that are due: cron, 5 or 6 fields.').prefault('0 3 * * *'),
  timezone: time.timezone('IANA time zone of schedule and windows.').prefault('UTC'),
  rotate_every: duration('Age at which the active key is due.').prefault(ROTATE_EVERY),
  splay: duration(
    'Clients are spread over this much time before they reach rotate_every. Each has the same place every time.',
    {
      zero: true,
    },
  ).prefault('0s'),
  windows: z
    .array(time.window('Days and hours, such as "Mon-Thu 01:00-05:00".'), {
      error: 'is not a list: write ["Mon-Thu 01:00-05:00"]',
    })
    .describe('Scheduled rotations start only inside one of these; none: at any time. Compromised keys do not wait.')
    .prefault([]),
  freeze: z
    .array(time.freeze('First and last day of a change freeze, such as "2026-12-18/2027-01-04".'), {
      error: 'is not a list: write ["2026-12-18/2027-01-04"]',
    })
    .describe('No scheduled rotation begins on these days, in timezone. Compromised keys do not wait.')
    .prefault([]),
  must_by: duration(
    'Age at which a key is overdue, which is an alarm. Absent: one and a half times rotate_every.',
  ).optional(),
  alg: choice('JWS algorithm of new keys; keep: the one that the client has.', ['keep', ...ALGORITHMS]).prefault(
    'keep',
  ),
  modulus_length: count('Bits of new RSA keys; no effect on other algorithms.', 2048, 8192).prefault(3072),
  strategy: choice(
    'Does the server accept several keys (overlap) or exactly one (cutover)? auto: what `probe` found out, else cutover.',
    ['auto', 'overlap', 'cutover'],
  ).prefault('auto'),
  format: choice('How the public key is published; keep: as the client has it.', [
    'keep',
    'jwks',
    'pem',
    'jwks_uri',
  ]).prefault('keep'),
  embed_pem: flag('Add public_key_pem to each JWK, for servers that use only that.').prefault(true),
  foreign_keys: choice('Whether published keys that rekeyd did not make stay.', ['keep', 'retire']).prefault('keep'),
  adopt: choice(
    'What may happen to a client whose active key is not ours. import: nothing, until its key is imported and it is enrolled. overlap: where the server takes several keys, a key of ours is offered beside its own. take_over: the schedule replaces the key, and locks an application out that does not read its key folder.',
    ['import', 'overlap', 'take_over'],
  ).prefault('import'),
  adopt_timeout: duration(
    'With adopt: overlap, a key that the application does not take in this time is withdrawn.',
  ).prefault('30d'),
  cohort: cohort(),
  probe: choice(
    'When a disposable client finds out how the server picks keys and which algs it verifies. manual: with `rekeyd probe`; auto: also before a first rotation of an app, and every day.',
    ['manual', 'auto', 'never'],
  ).prefault('manual'),
  owner: owner('The team that answers for these clients. It is named in events.').optional(),
  standby: flag(
    'Keep a key ready for the next rotation: made in idle time and handed to signers as their next one, so that a compromise takes one PATCH.',
  ).prefault(false),
  propagation: duration('How long we wait after a key is published before it is used.', { zero: true }).prefault('60s'),
  overlap: duration(
    "How long the old key stays valid after the new one took over: at least an assertion's lifetime and clock skew.",
    {
      zero: true,
    },
  ).prefault('10m'),
  prove: choice('How a new key is shown to work: an accepted client assertion, or only reading it back.', [
    'required',
    'read_back',
  ]).prefault('required'),
  prove_within: duration('After a cutover: when nothing was proven by then, the old key is put back.').prefault('60s'),
  require_ready: count(
    'A cutover waits until so many signers have reported that they hold the new key; 0: it does not wait.',
    0,
    64,
  ).prefault(0),
  ready_timeout: duration(
    'How long we wait for signers. After that, a rotation that has published nothing fails; one in its overlap keeps both keys, and says so.',
  ).prefault('15m'),
  attempts: count(
    'Failures in a row of one step before the rotation fails; after a compromise it goes on.',
    1,
    1000,
  ).prefault(10),
}).transform(
  ({
    rotate_every,
    must_by,
    splay,
    modulus_length,
    embed_pem,
    foreign_keys,
    adopt_timeout,
    propagation,
    overlap,
    prove_within,
    require_ready,
    ready_timeout,
    owner: named = null,
    ...same
  }): PolicyConfig => ({
    ...same,
    rotateEveryMs: rotate_every,
    mustByMs: must_by ?? rotate_every * 1.5,
    splayMs: splay,
    modulusLength: modulus_length,
    embedPem: embed_pem,
    foreignKeys: foreign_keys,
    adoptTimeoutMs: adopt_timeout,
    propagationMs: propagation,
    overlapMs: overlap,
    proveWithinMs: prove_within,
    requireReady: require_ready,
    readyTimeoutMs: ready_timeout,
    owner: named,
  }),
);
