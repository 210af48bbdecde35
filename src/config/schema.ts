/** The config file's shape: every setting with its default and description, and how it becomes a {@link Config}. */
import { join } from 'node:path';
import { z } from 'zod';
import { ALGORITHMS } from '../core/keys.ts';
import { PRIVATE } from '../files/access.ts';
import { cohort } from './cohort.ts';
import * as field from './fields.ts';
import { choice, count, duration, flag, list, name, section } from './fields.ts';
import type { AppConfig, Config, DeploymentConfig, PolicyConfig } from './model.ts';
import { redis } from './redis.ts';
import type { Sources } from './secrets.ts';
import { sink } from './sink.ts';
import * as time from './time-fields.ts';

const policy = section({
  schedule: time.cron('When scheduled rotations are looked for: node-cron, 5 or 6 fields.').prefault('0 3 * * *'),
  timezone: time.timezone('IANA time zone of schedule and windows.').prefault('UTC'),
  rotate_every: duration('Age at which the active key is due.').prefault('30d'),
  splay: duration('Spreads clients over this much time after they are due, the same for a client each time.', {
    zero: true,
  }).prefault('0s'),
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
    'Age at which a key is overdue, which is an alarm. Absent: half as long again as rotate_every.',
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
  foreign_keys: choice('What becomes of published keys that rekeyd did not make.', ['keep', 'retire']).prefault('keep'),
  adopt: choice(
    'What may happen to a client whose active key is not ours. import: nothing, until its key is imported and it is enrolled. overlap: where the server takes several keys, a key of ours is offered beside its own. take_over: the schedule replaces the key, and locks an application out that does not read its key folder.',
    ['import', 'overlap', 'take_over'],
  ).prefault('import'),
  adopt_timeout: duration(
    'adopt: overlap: a key that the application does not take in this time is withdrawn.',
  ).prefault('30d'),
  cohort: cohort(),
  probe: choice(
    'When a disposable client finds out how the server picks keys and which algs it verifies. manual: with `rekeyd probe`; auto: also before a first rotation of an app, and every day.',
    ['manual', 'auto', 'never'],
  ).prefault('manual'),
  standby: z
    .literal(false, { error: 'asks for standby keys, which this version does not have: write false or leave it out' })
    .describe('Keep a pre-active key ready. Not available in this version: only false.')
    .prefault(false),
  propagation: duration('How long a published key is left to spread before it is used.', { zero: true }).prefault(
    '60s',
  ),
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
    'How long signers are waited for. Then a rotation that has published nothing fails; one in its overlap keeps both keys, and says so.',
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
  }),
);

const client = section({
  id: name("The client's id in the API path."),
  policy: name("Instead of the app's policy.").optional(),
});

const app = section({
  slug: name('OAuth app slug.'),
  issuer: field
    .url("Where the app's OAuth endpoints live and proofs go. Absent: https:// and the app's own fqdn.")
    .optional(),
  resolve: z
    .record(field.host(), field.url('Origin to connect to.', { only: 'origin' }), {
      error: 'is not a section: write "host": "http://127.0.0.1:8443" below it',
    })
    .describe('Issuer host → origin to connect to instead; Host header, audience and TLS name stay.')
    .prefault({}),
  clients: z
    .union([z.literal('all'), z.array(client)], {
      error: 'is neither all nor a list: write all, or entries like - { id: "4711" }',
    })
    .describe('Which clients of the app rekeyd takes care of.')
    .prefault('all'),
  policy: name('Policy of its clients.').prefault('default'),
}).transform(
  ({ issuer, clients, ...same }): AppConfig => ({
    ...same,
    issuer: issuer ?? null,
    clients: clients === 'all' ? clients : clients.map(({ id, policy: own }) => ({ id, policy: own ?? same.policy })),
  }),
);

function deployment(sources: Sources) {
  const rateLimit = section({
    max: count('Requests …', 1, 1_000_000).prefault(10),
    per: duration('… in this time.').prefault('1s'),
  });
  const backoff = section({
    base: duration('First wait; doubles with each failure.').prefault('1s'),
    max: duration('Longest wait.').prefault('5m'),
  });
  return section({
    id: name('Deployment id, in quotes: as a number it would lose digits.'),
    api_url: field.url('Base URL of the Wacht API.').prefault('https://api.wacht.dev'),
    url_style: choice(
      'deployment: paths start with /deployments/{id}, for access tokens; flat: the API key says which deployment; auto: found out.',
      ['auto', 'deployment', 'flat'],
    ).prefault('auto'),
    api_key: field.secret('Wacht API key: env:NAME or file:PATH.', sources, field.headerSecret),
    throttle_max: duration(
      'A server that asks to be left alone is asked again after this time at the latest.',
    ).prefault('60s'),
    rate_limit: rateLimit.prefault({}).describe('API budget of this deployment, over all workers.'),
    timeout: duration('Deadline of one API call, body included.', { most: '1d' }).prefault('10s'),
    backoff: backoff.prefault({}).describe('Waits between retries, with full jitter.'),
    concurrency: count('Rotation jobs at once in one worker.', 1, 1000).prefault(10),
    apps: list(app, 'app'),
  }).transform(
    ({
      id,
      api_url,
      url_style,
      api_key,
      throttle_max,
      rate_limit,
      timeout,
      backoff: wait,
      concurrency,
      apps,
    }): DeploymentConfig => ({
      id,
      apiUrl: api_url,
      urlStyle: url_style,
      apiKey: api_key,
      throttleMaxMs: throttle_max,
      rateLimit: { max: rate_limit.max, perMs: rate_limit.per },
      timeoutMs: timeout,
      backoff: { baseMs: wait.base, maxMs: wait.max },
      concurrency,
      apps,
    }),
  );
}

/** The schema of one config file. Parse asynchronously: secrets are read on the way. */
export function configFileSchema(sources: Sources) {
  const kek = section({
    id: name('Named in every key that it encrypts: never reuse an id.'),
    key: field.secret('32 bytes in base64url: env:NAME or file:PATH.', sources, field.kekSecret),
  });
  const http = section({
    listen: field.listenAddress('host:port.').prefault('127.0.0.1:8080'),
    tokens: field.secret('Bearer tokens, hashed: env:NAME or file:PATH.', sources, field.plainSecret).optional(),
  });
  const publish = section({
    path: field.path('Folder for public JWK Sets; absent: jwks in data_dir.', sources).optional(),
    base_url: field.url('https URL under which a web server serves that folder.', { only: 'https' }),
  });
  return section({
    data_dir: field.path('Embedded Redis, audit export, default sink.', sources).prefault('./data'),
    redis: redis(sources).prefault({}).describe('The store.'),
    durability: choice('strict: refuse a Redis that could lose a key.', ['strict', 'relaxed']).prefault('strict'),
    encryption: section({
      keks: list(kek, 'key encryption key').describe('The first encrypts, all decrypt.'),
    }).describe('How private keys are encrypted in the store.'),
    deployments: list(deployment(sources), 'deployment').describe('Wacht deployments.'),
    policies: z
      .record(name('Name of the policy.'), policy, { error: 'is not a section: write policies by name below it' })
      .describe('By name. default exists even when it is not written.')
      .prefault({}),
    sinks: list(sink(sources), 'sink').describe('Where private keys are handed to those who sign.').optional(),
    http: http.prefault({}).describe('On-demand API, health, metrics.'),
    publish: publish.describe('Where format: jwks_uri writes public sets.').optional(),
    reconcile_every: duration('How often drift and unfinished work are looked for.').prefault('60s'),
    shutdown_grace: duration('How long running jobs may take to finish on SIGTERM.', { most: '1d' }).prefault('30s'),
  }).transform(
    (input): Omit<Config, 'file' | 'warnings' | 'secretFiles'> => ({
      dataDir: input.data_dir,
      redis: input.redis,
      durability: input.durability,
      encryption: input.encryption,
      deployments: input.deployments,
      policies: { default: policy.parse({}), ...input.policies },
      sinks: input.sinks ?? [{ kind: 'directory', path: join(input.data_dir, 'keys'), access: PRIVATE, reports: null }],
      http: { listen: input.http.listen, tokens: input.http.tokens ?? null },
      publish: input.publish
        ? { path: input.publish.path ?? join(input.data_dir, 'jwks'), baseUrl: input.publish.base_url }
        : null,
      reconcileEveryMs: input.reconcile_every,
      shutdownGraceMs: input.shutdown_grace,
    }),
  );
}
