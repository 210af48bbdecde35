/** Keys in a local Vault: see {@link ./server.ts}. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import type { VaultSinkConfig } from '../../../src/config/sinks/model.ts';
import type { VaultAuthConfig } from '../../../src/config/vault.ts';
import type { DeliveringStore } from '../../../src/deliver/fence.ts';
import type { Sink, SinkKey } from '../../../src/deliver/sink.ts';
import { vaultSink } from '../../../src/deliver/vault/sink.ts';
import { certificateFor } from '../../support/certificates.ts';
import { until } from '../../support/until.ts';
import { contents, deliveryAt, holds, message, sinkKey } from '../contents.ts';
import { NAMESPACE, REKEYD_POLICY, startVault, type Vault } from './server.ts';

const REF = '185019846023/mcp-auth/4711';
const PATH = `rekeyd/${REF}`;
const APP_ROLE: VaultAuthConfig = {
  kind: 'app_role',
  mount: 'approle',
  roleId: 'role-1',
  secretId: new Secret('secret-1'),
};

interface Options extends Partial<VaultSinkConfig> {
  readonly store?: DeliveringStore | null;
}

function sinkAt({ url }: Vault, { store = null, ...more }: Options = {}): Sink {
  const config: VaultSinkConfig = {
    ...{ kind: 'vault', url, mount: 'secret', prefix: 'rekeyd', namespace: null, timeoutMs: 20_000 },
    route: { proxy: null, authorities: [] },
    auth: { kind: 'token', token: new Secret('root-token') },
    ...more,
  };
  const sink = vaultSink(config, { store, now: Date.now });
  onTestFinished(() => sink.close());
  return sink;
}

async function start(more: Options = {}): Promise<{ vault: Vault; sink: Sink }> {
  const vault = await startVault();
  vault.addToken('root-token');
  return { vault, sink: sinkAt(vault, more) };
}

const filesIn = (vault: Vault) => vault.latest(PATH)?.data ?? {};
const metaIn = (vault: Vault) => JSON.parse(filesIn(vault)['meta.json'] ?? 'null');

describe('a delivery', () => {
  test('is a version that holds the files of a key folder, and destroys those before it', async () => {
    const { vault, sink } = await start();
    const [a, b] = [await sinkKey(), await sinkKey()];
    await sink.deliver(contents({ current: a, next: b }));
    const files = filesIn(vault);
    const names = ['current.jwk.json', 'current.pem', 'meta.json', 'next.jwk.json', 'public.jwks.json', 'rekeyd.json'];
    expect(Object.keys(files).sort()).toEqual(names);
    expect([holds(a, files['current.pem'] ?? ''), holds(b, files['next.jwk.json'] ?? '')]).toEqual([true, true]);
    expect(await deliveryAt(sink)).toEqual({ current: a.kid, next: b.kid, previous: null });

    await sink.deliver(contents({ current: b, previous: a }, { epoch: 2 }));
    await sink.deliver(contents({ current: b }, { epoch: 2 }));
    expect(metaIn(vault)).toMatchObject({ current: b.kid, previous: null });
    expect(vault.secrets.get(PATH)?.map(({ destroyed }) => destroyed)).toEqual([true, true, false]);
    expect(JSON.stringify(vault.secrets.get(PATH))).not.toContain(a.kid);
  });

  test('of no key leaves no private key', async () => {
    const { vault, sink } = await start();
    await sink.deliver(contents({ current: await sinkKey() }));
    await sink.deliver(contents({}, { epoch: 2 }));
    expect(Object.keys(filesIn(vault)).sort()).toEqual(['meta.json', 'public.jwks.json', 'rekeyd.json']);
    expect(vault.secrets.get(PATH)?.map(({ destroyed }) => destroyed)).toEqual([true, false]);
  });

  test('of an earlier claim replaces none of a later one', async () => {
    const { vault, sink } = await start();
    const [a, b] = [await sinkKey(), await sinkKey()];
    await sink.deliver(contents({ current: a }, { epoch: 7 }));
    await expect(sink.deliver(contents({ current: b }, { epoch: 6 }))).rejects.toMatchObject({
      code: 'sink_outdated',
      epoch: 7,
    });
    expect(metaIn(vault).current).toBe(a.kid);
  });

  test('of two stores is refused, unless one has replaced the other', async () => {
    const { vault, sink } = await start({ store: storeOf('one') });
    await sink.deliver(contents({ current: await sinkKey() }));
    const other = sinkAt(vault, { store: storeOf('two') });
    expect(await message(other.deliver(contents({}, { epoch: 2 })))).toContain('the store one delivers there');
    const heir = sinkAt(vault, { store: storeOf('two', 'one') });
    await heir.deliver(contents({ current: await sinkKey() }, { epoch: 2 }));
  });

  test('meets another writer: it looks again, and a later claim wins', async () => {
    const { vault, sink } = await start();
    const [a, b] = [await sinkKey(), await sinkKey()];
    await sink.deliver(contents({ current: a }));
    let overtaken: Promise<unknown> | null = null;
    vault.onWrite = () => {
      vault.onWrite = () => {};
      const versions = vault.secrets.get(PATH) ?? [];
      versions.push(structuredClone(versions[0] ?? { data: null, deleted: true, destroyed: false }));
    };
    await sink.deliver(contents({ current: b }, { epoch: 2 }));
    expect(metaIn(vault).current).toBe(b.kid);
    expect(vault.secrets.get(PATH)?.map(({ destroyed }) => destroyed)).toEqual([true, true, false]);

    // The other writer is a worker with a later claim.
    vault.onWrite = () => {
      vault.onWrite = () => {};
      overtaken = sinkAt(vault).deliver(contents({ current: a }, { epoch: 9 }));
      const versions = vault.secrets.get(PATH) ?? [];
      versions.push({
        data: {
          ...versions.at(-1)?.data,
          'rekeyd.json': JSON.stringify({ client: REF, epoch: 9, store: null, since: 1 }),
        },
        deleted: false,
        destroyed: false,
      });
    };
    expect(await message(sink.deliver(contents({ current: b }, { epoch: 3 })))).toContain('a later claim (9)');
    await overtaken;
    expect(metaIn(vault).current).toBe(a.kid);
  });

  test('that never comes first says so, and leaves the other writer its secret', async () => {
    const { vault, sink } = await start();
    await sink.deliver(contents({ current: await sinkKey() }));
    vault.onWrite = (path) => {
      const versions = vault.secrets.get(path) ?? [];
      versions.push(structuredClone(versions[0] ?? { data: null, deleted: true, destroyed: false }));
    };
    expect(await message(sink.deliver(contents({}, { epoch: 2 })))).toMatch(
      /changed the secret 5 times.*check-and-set/,
    );
  });

  test('touches no secret that somebody else made, and after it was deleted destroys none of its versions', async () => {
    const { vault, sink } = await start();
    const foreign = { data: { password: 'theirs' }, deleted: false, destroyed: false };
    vault.secrets.set(PATH, [foreign]);
    expect(await message(sink.deliver(contents({ current: await sinkKey() })))).toMatch(
      /secret is there that rekeyd did not make.*prefix/,
    );
    expect(vault.secrets.get(PATH)).toEqual([foreign]);
    expect(await deliveryAt(sink)).toBeNull();

    foreign.deleted = true;
    await sink.deliver(contents({ current: await sinkKey() }));
    await sink.deliver(contents({}, { epoch: 2 }));
    expect(vault.secrets.get(PATH)?.map(({ destroyed }) => destroyed)).toEqual([false, true, false]);
  });

  test('goes to a namespace, over TLS by an authority of its own', async () => {
    const certified = certificateFor('IP:127.0.0.1');
    const vault = await startVault(certified);
    vault.addToken('root-token');
    const route = { proxy: null, authorities: [certified.cert] };
    const sink = sinkAt(vault, { namespace: NAMESPACE, route });
    await sink.deliver(contents({ current: await sinkKey() }));
    expect(await sink.check()).toBeNull();
    expect(await sinkAt(vault, { namespace: 'team-b', route }).check()).toContain('no handler for route');
    expect(await sinkAt(vault).check()).toMatch(/certificate.*Check url and ca/);
  });
});

function storeOf(id: string, ...predecessors: string[]): DeliveringStore {
  return { id: () => id, predecessors: async () => predecessors };
}

describe('logging in', () => {
  test.each(['app_role', 'kubernetes'] as const)(
    'by %s is done once, again when the lease was lost, and undone at the end',
    async (kind) => {
      const vault = await startVault();
      const dir = mkdtempSync(join(tmpdir(), 'rekeyd-vault-'));
      onTestFinished(() => rmSync(dir, { recursive: true }));
      const tokenFile = join(dir, 'token');
      writeFileSync(tokenFile, 'jwt-1\n');
      vault.login.jwts.add('jwt-1');
      const auth = kind === 'app_role' ? APP_ROLE : ({ kind, mount: 'kubernetes', role: 'role-1', tokenFile } as const);
      const sink = sinkAt(vault, { auth });
      const logins = () => vault.calls.filter((call) => call.endsWith('/login')).length;
      await Promise.all(
        [1, 2, 3].map(async (n) =>
          sink.deliver({ ...contents({ current: await sinkKey() }), ref: `1/a/${n}` as never }),
        ),
      );
      expect(logins()).toBe(1);

      // Somebody revoked it, and Kubernetes has written another token meanwhile.
      vault.tokens.clear();
      vault.login.jwts.clear();
      vault.login.jwts.add('jwt-2');
      writeFileSync(tokenFile, 'jwt-2\n');
      await sink.deliver(contents({ current: await sinkKey() }));
      expect(logins()).toBe(2);

      // All leases ended while Vault was away.
      vault.passed += 7200;
      await sink.deliver(contents({}, { epoch: 2 }));
      expect(logins()).toBe(3);
      sink.close();
      await until('the token is given back', () => vault.calls.includes('POST auth/token/revoke-self'));
    },
  );

  test('a lease is renewed while nothing is delivered, also that of a given token', async () => {
    const vault = await startVault();
    vault.login.ttlSeconds = 2;
    vault.addToken('given', { ttlSeconds: 2, endsAt: performance.now() / 1000 + 2, renewable: true });
    const sinks = [
      sinkAt(vault, { auth: APP_ROLE }),
      sinkAt(vault, { auth: { kind: 'token', token: new Secret('given') } }),
    ];
    for (const [n, sink] of sinks.entries()) {
      await sink.deliver({ ...contents({ current: await sinkKey() }), ref: `1/a/${n}` as never });
    }
    await until('both are renewed', () => vault.calls.filter((call) => call.endsWith('renew-self')).length >= 2);
  });

  test('a lease whose renewal is answered with nonsense is renewed again, and not taken for one without an end', async () => {
    const vault = await startVault();
    vault.login.ttlSeconds = 2;
    let nonsense = 0;
    vault.interfere = (path) => {
      if (!path.endsWith('renew-self') || nonsense > 0) return null;
      nonsense += 1;
      return { status: 200, body: {} };
    };
    const sink = sinkAt(vault, { auth: APP_ROLE });
    await sink.deliver(contents({ current: await sinkKey() }));
    await until('the renewal was answered', () => nonsense > 0);
    const logins = () => vault.calls.filter((call) => call.endsWith('approle/login')).length;
    // Its end is known still: another login comes before the call that would be refused.
    vault.passed += 5;
    await until('it has logged in again', async (saw) => {
      await sink.deliver(contents({ current: await sinkKey() }, { epoch: 2 }));
      return saw(logins()) > 1;
    });
    vault.login.ttlSeconds = 3600;
  });

  test('a right that its policy lacks is no reason to log in again and again: each login leaves a lease', async () => {
    const vault = await startVault();
    vault.login.policy = { data: ['read'] };
    const sink = sinkAt(vault, { auth: APP_ROLE });
    for (const epoch of [1, 2, 3]) {
      expect(await message(sink.deliver(contents({}, { epoch })))).toMatch(/permission denied.*writing the secret/s);
    }
    expect(vault.calls.filter((call) => call.endsWith('approle/login'))).toHaveLength(1);
    expect(vault.tokens.size).toBe(1);
  });

  test('a token that is asked for while the sink closes is given back, too', async () => {
    const vault = await startVault();
    const sink = sinkAt(vault, { auth: APP_ROLE });
    vault.interfere = (path) => {
      if (path.endsWith('login')) sink.close();
      return null;
    };
    await sink.deliver(contents({})).catch(() => {});
    await until('the token is given back', () => vault.calls.includes('POST auth/token/revoke-self'));
    const login = vault.calls.findIndex((call) => call.endsWith('login'));
    expect(vault.calls.indexOf('POST auth/token/revoke-self')).toBeGreaterThan(login);
  });

  test('a token that was revoked, or may not write, is told with what to do', async () => {
    const { vault, sink } = await start();
    await sink.deliver(contents({ current: await sinkKey() }));
    vault.tokens.clear();
    expect(await message(sink.deliver(contents({}, { epoch: 2 })))).toMatch(
      /403 \(.*invalid token.*reading the secret.*log it in anew/s,
    );
    vault.addToken('root-token', { policy: { data: ['read'] } });
    expect(await message(sink.deliver(contents({}, { epoch: 2 })))).toMatch(
      /403 \(.*permission denied.*writing the secret.*a policy with create/s,
    );
    expect(await sink.check()).toMatch(
      /lacks create, update on secret\/data\/rekeyd\/\* and update on secret\/destroy/,
    );
    vault.addToken('root-token', { policy: REKEYD_POLICY });
    expect(await sink.check()).toBeNull();
  });

  test('a secret id that is refused is told, and is in no message', async () => {
    const vault = await startVault();
    const sink = sinkAt(vault, { auth: { ...APP_ROLE, secretId: new Secret('wrong-secret-id') } as VaultAuthConfig });
    const told = [await sink.check(), await message(sink.deliver(contents({ current: await sinkKey() })))].join();
    expect(told).toMatch(/invalid role or secret ID.*logging in at auth\/approle/);
    expect(told).not.toContain('wrong-secret-id');
  });
});

describe('what is wrong is found before anything is written:', () => {
  test.each<[string, (vault: Vault) => void, RegExp]>([
    ['it is sealed', (vault) => Object.assign(vault, { sealed: true }), /sealed.*operator unseal/],
    [
      'the engine has no versions',
      ({ engine }) => Object.assign(engine, { version: '1' }),
      /is a KV engine of version 1/,
    ],
    ['the engine is another', ({ engine }) => Object.assign(engine, { type: 'pki' }), /is an engine of type pki/],
  ])('%s', async (_, spoil, expected) => {
    const { vault, sink } = await start();
    spoil(vault);
    const key: SinkKey = await sinkKey();
    expect(await sink.check()).toMatch(expected);
    expect(await message(sink.deliver(contents({ current: key })))).toMatch(expected);
    expect(vault.secrets.size).toBe(0);
    await Promise.resolve(
      Object.assign(vault, { sealed: false, engine: Object.assign(vault.engine, { type: 'kv', version: '2' }) }),
    );
    await sink.deliver(contents({ current: key }));
  });

  test('nothing answers', async () => {
    const vault = await startVault();
    const sink = sinkAt({ ...vault, url: 'http://127.0.0.1:1' });
    expect(await sink.check()).toMatch(/ECONNREFUSED.*Check url and ca/);
  });
});
