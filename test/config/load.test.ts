import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { policyFor } from '../../src/config/lookup.ts';
import type { Config } from '../../src/config/model.ts';
import { Secret } from '../../src/config/secret.ts';
import { makeReference } from '../../src/core/client.ts';
import { certificateFor } from '../support/certificates.ts';
import {
  API_KEY,
  app,
  deployment,
  env,
  folder,
  inDeployment,
  inPolicy,
  KEK,
  read,
  refusal,
  useFolder,
  write,
} from './write.ts';

useFolder();

const PRIVATE = { mode: 0o600, dirMode: 0o700, owner: null, group: null };

test('an export is named after its kind, and begins anew with another receiver', async () => {
  const exportsOf = async (given: unknown) => (await read(write({ audit: { export: given } }))).audit.exports;
  const path = join(folder, 'audit');
  const inFolder = { kind: 'folder', name: 'folder', id: 'folder', path };
  expect(await exportsOf('./audit')).toEqual([inFolder]);
  const to = (host: string) => [
    { kind: 'folder', path: './audit' },
    { kind: 'syslog', name: 'siem', url: `tls://${host}:6514` },
    { kind: 'https', url: `https://${host}/x`, token: 'env:API_KEY' },
  ];
  const [before, after] = [await exportsOf(to('one')), await exportsOf(to('two'))];
  expect(before).toMatchObject([
    inFolder,
    { name: 'siem', host: 'one', port: 6514, tls: true },
    { name: 'https', url: 'https://one/x', token: expect.any(Secret) },
  ]);
  expect(before.map(({ id }, index) => id === after[index]?.id)).toEqual([true, false, false]);
});

describe('defaults', () => {
  test('a minimal config is complete', async () => {
    const config = await read(write());
    expect(config).toEqual({
      file: join(folder, 'rekeyd.yaml'),
      dataDir: join(folder, 'data'),
      namespace: 'rekeyd',
      redis: { server: { kind: 'embedded', searchPath: expect.stringContaining('/usr/bin') }, replicas: 0, tls: null },
      durability: 'strict',
      breaker: 0.2,
      approval: null,
      encryption: { keks: [{ id: 'k1', kind: 'local', key: expect.any(Secret) }] },
      deployments: [
        {
          id: '1',
          apiUrl: 'https://api.wacht.dev',
          urlStyle: 'auto',
          apiKey: expect.any(Secret),
          route: { proxy: null, authorities: [] },
          throttleMaxMs: 60_000,
          rateLimit: { max: 10, perMs: 1000 },
          timeoutMs: 10_000,
          backoff: { baseMs: 1000, maxMs: 300_000 },
          concurrency: 10,
          apps: [
            {
              slug: 'mcp-auth',
              issuer: null,
              resolve: {},
              route: { proxy: null, authorities: [] },
              clients: 'all',
              policy: 'default',
            },
          ],
        },
      ],
      policies: {
        default: {
          schedule: '0 3 * * *',
          timezone: 'UTC',
          rotateEveryMs: 30 * 86_400_000,
          mustByMs: 45 * 86_400_000,
          splayMs: 0,
          windows: [],
          freeze: [],
          alg: 'keep',
          modulusLength: 3072,
          strategy: 'auto',
          format: 'keep',
          embedPem: true,
          foreignKeys: 'keep',
          adopt: 'import',
          adoptTimeoutMs: 30 * 86_400_000,
          cohort: { firstPercent: 5, thenMs: 3_600_000, stopAfter: 1 },
          probe: 'manual',
          owner: null,
          standby: false,
          propagationMs: 60_000,
          overlapMs: 600_000,
          prove: 'required',
          proveWithinMs: 60_000,
          requireReady: 0,
          readyTimeoutMs: 15 * 60_000,
          attempts: 10,
        },
      },
      leaks: { github: null, gitlab: null, gitguardian: null },
      alerts: { heartbeat: null },
      webhooks: [],
      telemetry: { traces: null },
      audit: { keepMs: 90 * 86_400_000, mostBytes: 200 * 1024 ** 2, exports: [] },
      sinks: [
        { kind: 'directory', path: join(folder, 'data/keys'), access: PRIVATE, reports: null, pemComment: false },
      ],
      http: {
        ...{ listen: { host: '127.0.0.1', port: 8080 }, publicListen: null, tls: null, certificates: [] },
        rate: { max: 100, perMs: 1000 },
      },
      queue: { requests: 'on', producers: {} },
      publish: null,
      reconcileEveryMs: 60_000,
      shutdownGraceMs: 30_000,
      secretFiles: [],
      watchedFiles: [],
      warnings: [],
    });
    expect(config.deployments[0]?.apiKey.reveal()).toBe(API_KEY);
    expect(localKey(config)?.revealBytes()).toEqual(new Uint8Array(32).fill(0xa7));
  });

  test('the embedded server is looked for where PATH says', async () => {
    const config = await parseConfig(write(), { file: join(folder, 'rekeyd.yaml'), env: { ...env, PATH: '/opt/bin' } });
    expect(config.redis.server).toEqual({ kind: 'embedded', searchPath: '/opt/bin' });
  });

  test('another data_dir moves what lives in it', async () => {
    const config = await read(
      write({ data_dir: '../elsewhere', publish: { base_url: 'https://keys.example.com/jwks/' } }),
    );
    const dataDir = join(folder, '../elsewhere');
    expect(config.sinks).toEqual([
      { kind: 'directory', path: join(dataDir, 'keys'), access: PRIVATE, reports: null, pemComment: false },
    ]);
    expect(config.publish).toEqual({ path: join(dataDir, 'jwks'), baseUrl: 'https://keys.example.com/jwks' });
  });

  test('default exists beside other policies', async () => {
    const config = await read(write({ policies: { other: { windows: ['Mon 01:00-02:00'] } } }));
    expect(Object.keys(config.policies)).toEqual(['default', 'other']);
    expect(config.policies.other?.windows).toEqual([{ days: [1], start: 60, end: 120 }]);
  });
});

test('a freeze counts in days, and a key is overdue when the policy says or half as late again as it is due', async () => {
  const policies = {
    own: { rotate_every: '10d', must_by: '11d', freeze: ['1970-01-02/1970-01-03'] },
    other: { rotate_every: '10d' },
  };
  const { own, other } = (await read(write({ policies }))).policies;
  expect([own?.mustByMs, other?.mustByMs]).toEqual([11 * 86_400_000, 15 * 86_400_000]);
  expect([own?.freeze, other?.freeze]).toEqual([[{ first: 1, last: 2 }], []]);
});

describe('accepted', () => {
  test.each([
    ['a file next to the config, its line end dropped', { encryption: { keks: [{ id: 'k', key: 'file:kek' }] } }],
    ['http on this machine', { deployments: [deployment({ api_url: 'http://localhost:4000/' })] }],
    ['http on IPv6 loopback', { deployments: [deployment({ api_url: 'http://[::1]:4000' })] }],
    ['six cron fields', { policies: { default: { schedule: '*/5 * * * * *' } } }],
    [
      'jwks_uri with a place to publish',
      { policies: { default: { format: 'jwks_uri' } }, publish: { base_url: 'https://k' } },
    ],
    ['one app slug in two deployments', { deployments: [deployment(), deployment({ id: '2' })] }],
  ])('%s', async (_, top) => {
    await expect(read(write(top))).resolves.toBeDefined();
  });

  test.each([
    ['redis://localhost:6379', 'redis://localhost:6379'],
    ['unix:///run/redis.sock', 'unix:///run/redis.sock'],
    ['env:REDIS', env.REDIS],
  ])('redis.url %s', async (url, revealed) => {
    const { server } = (await read(write({ redis: { url } }))).redis;
    expect(server.kind === 'url' && server.url.reveal()).toBe(revealed);
  });

  test('redis.sentinels, with the password of both', async () => {
    const sentinels = { name: 'mymaster', nodes: ['s1:26379', '[fd00::1]:26380'], password: 'env:API_KEY' };
    const redis = { sentinels, username: 'rekeyd', password: 'env:BLANKS', replicas: 2 };
    const { server, replicas } = (await read(write({ redis }))).redis;
    if (server.kind !== 'sentinels') throw new Error(server.kind);
    expect(server).toMatchObject({
      name: 'mymaster',
      nodes: [
        { host: 's1', port: 26379 },
        { host: 'fd00::1', port: 26380 },
      ],
      login: { username: 'rekeyd' },
    });
    expect([server.sentinelPassword?.reveal(), server.login.password?.reveal(), replicas]).toEqual([
      env.API_KEY,
      env.BLANKS,
      2,
    ]);
  });

  test('redis.cluster', async () => {
    const { server } = (await read(write({ redis: { cluster: ['r1:6379'] } }))).redis;
    expect(server).toEqual({
      kind: 'cluster',
      nodes: [{ host: 'r1', port: 6379 }],
      login: { username: null, password: null },
    });
  });

  test.each([
    ['127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
    ['[::1]:8080', { host: '::1', port: 8080 }],
    ['rekeyd.internal:80', { host: 'rekeyd.internal', port: 80 }],
  ])('http.listen %s', async (listen, address) => {
    expect((await read(write({ http: { listen } }))).http.listen).toEqual(address);
  });

  test('URLs lose the slash at their end', async () => {
    const config = await read(
      inDeployment({ api_url: 'https://h/api/', apps: [app({ issuer: 'https://auth.example.com/' })] }),
    );
    expect(config.deployments[0]).toMatchObject({
      apiUrl: 'https://h/api',
      apps: [{ issuer: 'https://auth.example.com' }],
    });
  });
});

describe('warnings', () => {
  test.each([
    [
      'cutover with an alg that first-PEM servers refuse',
      { strategy: 'cutover', alg: 'PS256' },
      ['policies.default.alg'],
    ],
    ['auto may become a cutover', { alg: 'EdDSA' }, ['policies.default.alg']],
    ['cutover without an embedded PEM', { strategy: 'cutover', embed_pem: false }, ['policies.default.embed_pem']],
    ['cutover with jwks_uri', { strategy: 'cutover', format: 'jwks_uri' }, ['policies.default.format']],
    ['overlap servers read JWKs', { strategy: 'overlap', alg: 'EdDSA', embed_pem: false }, []],
    ['cutover with an alg that all verify', { strategy: 'cutover', alg: 'ES384' }, []],
  ])('%s', async (_, policy, paths) => {
    const config = await read(inPolicy(policy, { publish: { base_url: 'https://k' } }));
    expect(config.warnings.map(({ path }) => path)).toEqual(paths);
  });

  test('a policy that nobody uses', async () => {
    const config = await read(write({ policies: { spare: {} } }));
    expect(config.warnings).toEqual([{ path: 'policies.spare', message: expect.stringContaining('uses'), line: 1 }]);
  });
});

function localKey({ encryption: { keks } }: Config): Secret | undefined {
  return keks[0]?.kind === 'local' ? keks[0].key : undefined;
}

describe('secrets', () => {
  test('never show in JSON, text or inspect, and are read when asked', async () => {
    const config = await read(write({ redis: { url: 'env:REDIS' } }));
    const keyBytes = Buffer.alloc(32, 0xa7);
    const forbidden = [KEK, API_KEY, 'hidden', env.SHORT, keyBytes.toString('hex'), '167, 167', 'a7 a7'];
    const apiKey = config.deployments[0]?.apiKey;
    const showing = (value: object) => [JSON.stringify(value), inspect(value, { depth: null, showHidden: true })];
    const shown = [...showing(config), `${apiKey}`, JSON.stringify({ ...localKey(config) })];
    for (const text of shown) for (const secret of forbidden) expect(text).not.toContain(secret);
    const revealed = { ...config, apiKey: apiKey?.reveal(), kek: localKey(config)?.revealBytes() };
    for (const text of showing(revealed)) expect(text, 'what is not hidden shows').toContain(API_KEY);
    expect(inspect(revealed.kek), 'and so do bytes').toContain('167, 167');
    expect(shown[0]).toContain('"apiKey":"[secret]"');
    expect(shown[1]).toContain('apiKey: [secret]');
  });

  test('a revealed copy can be zeroed without losing the secret', () => {
    const secret = new Secret('abc');
    secret.revealBytes().fill(0);
    expect(secret.reveal()).toBe('abc');
  });

  test.each([
    ['as a value', inDeployment({ api_key: API_KEY })],
    ['after env:', inDeployment({ api_key: `env:${API_KEY}` })],
    ['with the blank forgotten', `{ deployments: [{ id: "1", api_key:${API_KEY} }] }`],
    ['as an alias', `api_key: *${API_KEY}`],
    ['in a broken string', `api_key: "\\q${API_KEY}`],
    ['in a URL', inDeployment({ api_url: `http://${API_KEY}:${API_KEY}@h` })],
    ['as a Redis password', write({ redis: { url: `redis://:${API_KEY}@h` } })],
    [
      'as a number of something else',
      inDeployment({ rate_limit: API_KEY, concurrency: API_KEY, url_style: API_KEY, timeout: API_KEY }),
    ],
  ])('a key in the wrong place is not repeated in the error: %s', async (_, text) => {
    const error = await refusal(text);
    expect(error.message + inspect(error)).not.toContain(API_KEY);
  });
});

describe('policyFor', () => {
  const apps = [
    app({ slug: 'all' }),
    app({ slug: 'listed', policy: 'slow', clients: [{ id: '1' }, { id: '2', policy: 'fast' }] }),
  ];
  const text = write({
    deployments: [deployment({ id: 'd', apps })],
    policies: { slow: { rotate_every: '90d' }, fast: { rotate_every: '1d' } },
  });

  test.each([
    ['d', 'all', '9', 'default', 30],
    ['d', 'listed', '1', 'slow', 90],
    ['d', 'listed', '2', 'fast', 1],
  ])('%s/%s/%s falls under %s', async (id, slug, client, name, days) => {
    const found = policyFor(await read(text), makeReference(id, slug, client));
    expect(found).toMatchObject({ name, policy: { rotateEveryMs: days * 86_400_000 } });
  });

  test.each([
    ['d', 'listed', '3'],
    ['d', 'other', '1'],
    ['e', 'all', '9'],
  ])('%s/%s/%s is not in our care', async (id, slug, client) => {
    expect(policyFor(await read(text), makeReference(id, slug, client))).toBeNull();
  });
});

describe('a sink', () => {
  const sinkOf = async (settings: Record<string, unknown>) =>
    (await read(write({ sinks: [{ kind: 'directory', path: './keys', ...settings }] }))).sinks[0];

  test('says who may read the keys, and where signers report', async () => {
    expect(await sinkOf({ mode: '0640', dir_mode: '0750', group: 4711, reports: './reports' })).toEqual({
      kind: 'directory',
      path: join(folder, 'keys'),
      access: { mode: 0o640, dirMode: 0o750, owner: null, group: 4711 },
      reports: join(folder, 'reports'),
      pemComment: false,
    });
    expect(await sinkOf({ pem_comment: true })).toMatchObject({ pemComment: true });
  });

  test.each<[object, object]>([
    [
      { owner: 'root', group: 'root' },
      { owner: 0, group: 0 },
    ],
    [{ owner: '1000' }, { owner: 1000, group: null }],
    // Its folders stay with rekeyd: the owner of the keys has to come through.
    [{ owner: 0 }, { dirMode: 0o711 }],
    [{ owner: 0, dir_mode: '0750' }, { dirMode: 0o750 }],
    [{ mode: '400' }, { mode: 0o400 }],
  ])('%j', async (settings, access) => {
    expect(await sinkOf({ ...settings })).toMatchObject({ access });
  });

  test.each<[string, Record<string, unknown>, RegExp[]]>([
    ['that everybody reads', { mode: '0644' }, [/^sinks\[0\]\.mode: lets every user of this machine read/]],
    ['whose group may not read', { group: 1 }, [/^sinks\[0\]\.group: has no use/]],
    ['whose group may read', { group: 1, mode: '0640', dir_mode: '0750' }, []],
  ])('%s is warned about as is due', async (_, settings, messages) => {
    const { warnings } = await read(write({ sinks: [{ kind: 'directory', path: './keys', ...settings }] }));
    expect(warnings.map(({ path, message }) => `${path}: ${message}`)).toEqual(
      messages.map((message) => expect.stringMatching(message)),
    );
  });
});

const publicJwk = (key: KeyObject): object => key.export({ format: 'jwk' });
const P256 = publicJwk(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey);

describe('a sink of another kind', () => {
  const only = async (settings: object) => (await read(write({ sinks: [settings] }))).sinks[0];

  test('Vault has a place and a way to log in', async () => {
    const auth = { app_role: { role_id: 'r', secret_id: 'env:API_KEY' } };
    expect(await only({ kind: 'vault', url: 'https://vault:8200/', auth })).toEqual({
      ...{ kind: 'vault', url: 'https://vault:8200', mount: 'secret', prefix: 'rekeyd', namespace: null },
      ...{ timeoutMs: 10_000, route: { proxy: null, authorities: [] } },
      auth: { kind: 'app_role', mount: 'approle', roleId: 'r', secretId: new Secret(API_KEY) },
    });
    const kubernetes = { role: 'rekeyd', token_file: './token' };
    expect(await only({ kind: 'vault', url: 'https://v', mount: '/a/kv/', auth: { kubernetes } })).toMatchObject({
      mount: 'a/kv',
      auth: { kind: 'kubernetes', mount: 'kubernetes', role: 'rekeyd', tokenFile: join(folder, 'token') },
    });
  });

  test('Kubernetes has namespace and authority from the service account, or from the config', async () => {
    writeFileSync(join(folder, 'namespace'), 'payments');
    writeFileSync(join(folder, 'ca.crt'), certificateFor('DNS:kubernetes.default.svc').cert);
    expect(await only({ kind: 'kubernetes', service_account: '.' })).toEqual({
      ...{ kind: 'kubernetes', url: 'https://kubernetes.default.svc', namespace: 'payments', prefix: 'rekeyd' },
      ...{ tokenFile: join(folder, 'token'), clients: [], timeoutMs: 10_000 },
      route: { proxy: null, authorities: [expect.stringContaining('BEGIN CERTIFICATE')] },
    });
    const clients = [{ client: '1/a/2', restart: 'web' }];
    expect(await only({ kind: 'kubernetes', url: 'http://127.0.0.1:8001', namespace: 'apps', clients })).toMatchObject({
      namespace: 'apps',
      clients: [{ client: '1/a/2', name: null, namespace: null, restart: 'web' }],
    });
  });

  test('a program has an environment of its own', async () => {
    expect(await only({ kind: 'exec', command: ['/bin/deliver', '-v'], user: 'root', env: { HOME: '/' } })).toEqual({
      ...{ kind: 'exec', program: '/bin/deliver', args: ['-v'], user: 0, group: null, timeoutMs: 30_000 },
      env: { PATH: expect.stringContaining('/usr/bin'), HOME: '/' },
    });
    const to = (TARGET: string) => ({ kind: 'exec', command: ['/bin/deliver'], env: { TARGET } });
    expect((await read(write({ sinks: [to('hsm-1'), to('hsm-2')] }))).sinks).toHaveLength(2);
  });

  test.each<[string, () => object, RegExp | string]>([
    ['X25519', () => publicJwk(generateKeyPairSync('x25519').publicKey), 'ECDH-ES+A256KW'],
    ['RSA', () => publicJwk(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey), 'RSA-OAEP-256'],
    ['a private key', () => publicJwk(generateKeyPairSync('x25519').privateKey), /leads to a private key/],
    [
      'a short RSA key',
      () => publicJwk(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey),
      /less than 2048/,
    ],
    ['a key that signs', () => publicJwk(generateKeyPairSync('ed25519').publicKey), /does not lead to a public JWK/],
    ['a key for signatures', () => ({ ...P256, use: 'sig' }), /key for signatures/],
    ['half a key', () => ({ ...P256, y: undefined }), /is no key/],
  ])('a recipient: %s', async (_, jwk, expected) => {
    const given = jwk();
    writeFileSync(join(folder, 'recipient.json'), JSON.stringify(given));
    const settings = { kind: 'encrypted_file', path: './out', recipient: 'file:recipient.json' };
    if (typeof expected === 'string') {
      expect(await only(settings)).toMatchObject({
        path: join(folder, 'out'),
        recipient: { alg: expected, jwk: given },
      });
    } else expect((await refusal(write({ sinks: [settings] }))).message).toMatch(expected);
  });

  test('AWS needs a region, and takes credentials from its SDK unless they are given', async () => {
    const settings = { kind: 'aws_secrets_manager', region: 'us-gov-west-1' };
    expect(await only(settings)).toEqual({
      ...{ ...settings, prefix: 'rekeyd', kmsKeyId: null, endpoint: null, credentials: null, timeoutMs: 20_000 },
    });
    const credentials = { access_key_id: 'AKIAIOSFODNN7EXAMPLE', secret_access_key: 'env:API_KEY' };
    expect(await only({ ...settings, credentials, kms_key_id: 'alias/keys' })).toMatchObject({
      kmsKeyId: 'alias/keys',
      credentials: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: new Secret(API_KEY) },
    });
  });

  test('beside a folder of keys lets a policy wait for signers', async () => {
    const vault = { kind: 'vault', url: 'https://v', auth: { token: 'env:API_KEY' } };
    const sinks = [vault, { kind: 'directory', path: './keys' }];
    expect((await read(inPolicy({ require_ready: 1 }, { sinks }))).sinks).toHaveLength(2);
    const adopting = { adopt: 'overlap', strategy: 'overlap' };
    expect((await read(inPolicy(adopting, { sinks }))).warnings).toEqual([]);
    expect((await read(inPolicy(adopting, { sinks: [vault] }))).warnings).toMatchObject([
      {
        path: 'policies.default.adopt',
        message: expect.stringContaining('no sink takes reports: run `rekeyd enroll`'),
      },
    ]);
  });
});

test('the files that secrets and certificates were read from are known, and which of them others may read', async () => {
  writeFileSync(join(folder, 'ca.pem'), certificateFor('DNS:redis.test').cert);
  const redis = { url: 'rediss://redis.test', tls: { ca: 'file:ca.pem' } };
  const config = await read(write({ redis, encryption: { keks: [{ id: 'k1', key: 'file:kek' }] } }));
  expect(config.secretFiles).toEqual([join(folder, 'kek')]);
  expect([...config.watchedFiles].sort()).toEqual([join(folder, 'ca.pem'), join(folder, 'kek')]);
});
