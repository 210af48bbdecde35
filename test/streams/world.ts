/** rekeyd as it runs, between a local Wacht that has the clients and an oidc-provider that lets them sign in. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseConfig } from '../../src/config/load.ts';
import type { AuditEntry } from '../../src/core/audit.ts';
import { type ClientRef, makeReference, splitReference } from '../../src/core/client.ts';
import type { RotationSummary } from '../../src/core/history.ts';
import type { Algorithm } from '../../src/core/keys.ts';
import { importKey } from '../../src/rotation/import.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import { createLog } from '../../src/runtime/log.ts';
import { startService } from '../../src/runtime/service.ts';
import { isChange } from '../emulator/log.ts';
import { startEmulator } from '../emulator/server.ts';
import { makeKey, type TestKey } from '../emulator/testing.ts';
import { type OidcProvider, openProvider } from '../oidc/provider.ts';
import { registeredIn } from '../oidc/registered.ts';
import { startRedis } from '../support/redis.ts';
import { until, witness } from '../support/until.ts';
import type { Kind } from './kinds.ts';

const DEPLOYMENT = '185019846023';

/** Nobody asks this host: what is under it is read from rekeyd itself. */
const KEY_HOST = 'https://keys.example.com';

export interface StreamClient {
  readonly ref: ClientRef;
  readonly clientId: string;
  /** The key that it had first. */
  readonly key: TestKey;
  readonly folder: string;
}

/** A rotation that has ended. */
export interface Ended {
  readonly client: StreamClient;
  readonly rotation: RotationSummary;
  /** That the server verifies the client's assertions with. */
  readonly alg: string | null;
  /** When the server had its first PATCH, and when it had ended; ms since the Unix epoch. */
  readonly patchedAt: number;
  readonly endedAt: number;
}

export interface World {
  readonly issuer: string;
  /** A client whose application takes its key from rekeyd. */
  enrolled(kind: Kind, alg: Algorithm): Promise<StreamClient>;
  /** Resolves when it has ended, in whatever way. @param more of the request. @throws when it cannot go on */
  rotate(client: StreamClient, more?: { readonly compromised?: true }): Promise<Ended>;
  keepSetsFor: OidcProvider['keepSetsFor'];
  audit(): Promise<AuditEntry[]>;
  close(): Promise<void>;
}

export interface WorldOptions {
  /** See `OidcOptions`. */
  readonly keepSetsMs?: number;
  /** Of policies with `format: jwks_uri`. Absent: a minute, which is what oidc-provider keeps a set for. */
  readonly propagationMs?: number;
}

/** In ms. Under `jwks_uri` a rotation waits for two caches of a minute. */
const WHOLE_ROTATION_MS = 400_000;

export async function openWorld(
  kinds: readonly Kind[],
  { keepSetsMs, propagationMs = 60_000 }: WorldOptions = {},
): Promise<World> {
  const releases: (() => unknown)[] = [];
  async function close(): Promise<void> {
    for (const release of releases.splice(0).reverse()) await release();
  }
  try {
    const dir = await mkdtemp(join(tmpdir(), 'rekeyd-streams-'));
    releases.push(() => rm(dir, { recursive: true, force: true }));
    const redis = await startRedis();
    releases.push(() => redis.stop());
    const emulator = await startEmulator();
    releases.push(() => emulator.close());
    const apiKey = 'api-key-of-streams';
    emulator.setApiKey(DEPLOYMENT, apiKey);
    for (const { name } of kinds) emulator.addApp({ deployment: DEPLOYMENT, slug: name });
    let keySets = '';
    const provider = await openProvider({
      clientOf: registeredIn(
        emulator,
        DEPLOYMENT,
        kinds.map(({ name }) => name),
      ),
      // Without its dispatcher, which refuses addresses of this machine.
      fetch: (url, { headers = {}, signal = null }) => fetch(url.replace(KEY_HOST, keySets), { headers, signal }),
      ...(keepSetsMs !== undefined && { keepSetsMs }),
    });
    releases.push(() => provider.close());

    const file = {
      data_dir: join(dir, 'data'),
      redis: { url: `unix://${redis.socketPath}` },
      encryption: { keks: [{ id: 'kek-1', key: 'env:KEK' }] },
      http: { listen: '127.0.0.1:0' },
      publish: { base_url: `${KEY_HOST}/jwks` },
      deployments: [
        {
          id: DEPLOYMENT,
          api_url: emulator.url,
          api_key: 'env:API_KEY',
          rate_limit: { max: 1000, per: '1s' },
          backoff: { base: '40ms', max: '400ms' },
          apps: kinds.map(({ name }) => ({ slug: name, issuer: provider.issuer, policy: name })),
        },
      ],
      policies: Object.fromEntries(kinds.map((kind) => [kind.name, policyOf(kind, propagationMs)])),
    };
    const env = { KEK: Buffer.alloc(32, 7).toString('base64url'), API_KEY: apiKey };
    const config = await parseConfig(JSON.stringify(file), { file: join(dir, 'rekeyd.yaml'), env });
    const lines: string[] = [];
    releases.push(witness(() => lines.slice(-5).join('')));
    const log = createLog({ level: 'info', destination: { write: (line: string) => void lines.push(line) } });
    const service = await startService(config, { log, schedule: false, worker: true, http: true });
    releases.push(() => service.stop());
    keySets = service.url ?? '';
    const { store } = service.resources;

    return {
      issuer: provider.issuer,
      close,
      keepSetsFor: provider.keepSetsFor,
      audit: () => store.auditAfter(0, 1_000_000),

      async enrolled({ name }, alg) {
        const key = makeKey(alg);
        const { id, client_id: clientId } = emulator.addClient({
          deployment: DEPLOYMENT,
          app: name,
          alg,
          jwks: { keys: [key.jwk] },
        });
        const ref = makeReference(DEPLOYMENT, name, id);
        const text = key.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
        const cause = { actor: 'streams', reason: 'import', request: null };
        await importKey(service.resources, keksOf(config), { ref, text, alg, enroll: true, cause });
        return { ref, clientId, key, folder: join(dir, 'data', 'keys', DEPLOYMENT, name, id) };
      },

      async rotate(client, more = {}) {
        const { ref } = client;
        const before = new Set((await store.history(ref)).map(({ id }) => id));
        const sent = emulator.log.length;
        await service.queues.request({
          v: 1,
          select: { clients: [ref] },
          reason: 'streams',
          actor: 'streams',
          try_alg: true,
          ...more,
        });
        const rotation = await until(
          `a rotation of ${ref} ends`,
          async (saw) => {
            const ended = (await store.history(ref)).find(({ id }) => !before.has(id));
            if (ended !== undefined) return ended;
            const record = saw((await store.load(ref))?.record);
            if (record != null && record.halted !== null) throw new Error(`${ref} is halted: ${record.halted}`);
            return null;
          },
          WHOLE_ROTATION_MS,
        );
        const endedAt = Date.now();
        const patch = emulator.log.slice(sent).find((call) => isChange(call) && ref.endsWith(`/${call.client}`));
        const { app, id } = splitReference(ref);
        const { token_endpoint_auth_signing_alg: alg } = emulator.client(DEPLOYMENT, app, id);
        return { client, rotation, alg, patchedAt: patch?.doneAt ?? endedAt, endedAt };
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function policyOf({ strategy, format, to }: Kind, propagationMs: number): object {
  const spread = format === 'jwks_uri' ? propagationMs : 100;
  const times = { propagation: `${spread}ms`, overlap: '300ms', schedule: '0 0 1 1 *' };
  return { strategy, format, ...(to !== null && { alg: to }), modulus_length: 2048, ...times };
}
