/** The adapters to services that keep keys, each before a front of its own. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { Secret } from '../../src/config/secret.ts';
import type { SinkConfig } from '../../src/config/sinks/model.ts';
import type { VaultAuthConfig } from '../../src/config/vault.ts';
import { openSink } from '../../src/deliver/open.ts';
import { generateKey } from '../../src/keys/generate.ts';
import { openKey, sealKey } from '../../src/keys/sealed.ts';
import { openKek } from '../../src/kms/open.ts';
import { deliverToAll } from '../../src/rotation/deliver-to-all.ts';
import { contents, sinkKey } from '../deliver/contents.ts';
import { startCluster } from '../deliver/kubernetes/server.ts';
import { startVault } from '../deliver/vault/server.ts';
import { type Needle, needlesOf } from '../support/secrets.ts';
import { startTransit, TRANSIT_TOKEN } from '../support/transit.ts';
import { startAws } from './aws.ts';
import { type Front, startFront } from './front.ts';

export interface Adapter {
  readonly front: Front;
  /** Private keys that it works with. */
  readonly needles: readonly Needle[];
  /** One piece of its work. What it has done is there afterwards, or it rejects. */
  work(): Promise<unknown>;
}

const ROUTE = { proxy: null, authorities: [] };
const REF = '185019846023/mcp-auth/4711';
const TOKEN = 'hvs.the-token-of-rekeyd-at-vault';

export const ADAPTERS: Readonly<Record<string, (timeoutMs: number) => Promise<Adapter>>> = {
  'vault by token': (timeoutMs) => vaultSink({ kind: 'token', token: new Secret(TOKEN) }, timeoutMs),
  'vault by AppRole': (timeoutMs) => vaultSink(APP_ROLE, timeoutMs),
  kubernetes: kubernetesSink,
  aws_secrets_manager: awsSink,
  'transit by token': (timeoutMs) => transit({ kind: 'token', token: new Secret(TRANSIT_TOKEN) }, timeoutMs),
  'transit by AppRole': (timeoutMs) => transit(APP_ROLE, timeoutMs),
  aws_kms: awsKms,
};

const APP_ROLE = { kind: 'app_role', mount: 'approle', roleId: 'role-1', secretId: new Secret('secret-1') } as const;

/** @param mark what is there for the application; each of the two deliveries gives it another one */
async function sinkOn(target: string, config: (front: Front) => SinkConfig, mark?: () => unknown): Promise<Adapter> {
  const front = await startFront(target);
  const sink = openSink(config(front), { store: null, now: Date.now });
  onTestFinished(() => sink.close());
  const keys = [await sinkKey(), await sinkKey()] as const;
  let epoch = 0;
  return {
    front,
    needles: keys.flatMap(({ kid, privateKey }) => needlesOf(kid, privateKey.keyObject())),
    async work() {
      const marks = new Set();
      for (const next of [null, keys[1]]) {
        epoch += 1;
        await deliverToAll([sink], contents({ current: keys[0], next }, { epoch }));
        marks.add(mark === undefined ? epoch : mark());
      }
      if (marks.size !== 2) throw new Error('it says that it has delivered, and the application sees nothing of it');
      const held = await (await sink.sets?.('185019846023/mcp-auth'))?.(contents({}).ref);
      if (held?.next !== keys[1].kid) throw new Error('it says that it has delivered, and the set is not there');
    },
  };
}

async function vaultSink(auth: VaultAuthConfig, timeoutMs: number): Promise<Adapter> {
  const vault = await startVault();
  vault.addToken(TOKEN);
  return sinkOn(vault.url, ({ url }) => ({
    ...{ kind: 'vault', url, mount: 'secret', prefix: 'rekeyd', namespace: null, auth, timeoutMs, route: ROUTE },
  }));
}

async function kubernetesSink(timeoutMs: number): Promise<Adapter> {
  const cluster = await startCluster();
  cluster.deployments.set('apps/payments', { annotations: {}, generation: 1 });
  cluster.tokens.add('the-token-of-a-service-account');
  const dir = mkdtempSync(join(tmpdir(), 'rekeyd-strangers-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const tokenFile = join(dir, 'token');
  writeFileSync(tokenFile, 'the-token-of-a-service-account\n');
  const config = (front: Front): SinkConfig => ({
    ...{ kind: 'kubernetes', url: front.url, namespace: 'apps', prefix: 'rekeyd', tokenFile, timeoutMs, route: ROUTE },
    clients: [{ client: REF, name: null, namespace: null, restart: 'payments' }],
  });
  return sinkOn(cluster.url, config, () => cluster.deployments.get('apps/payments')?.annotations['rekeyd/keys']);
}

async function awsSink(timeoutMs: number): Promise<Adapter> {
  const aws = await startAws();
  const credentials = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: new Secret('not-a-real-secret-key') };
  const config = ({ url: endpoint }: Front): SinkConfig => ({
    ...{ kind: 'aws_secrets_manager', region: 'eu-central-1', prefix: 'rekeyd', kmsKeyId: null },
    ...{ endpoint, credentials, timeoutMs },
  });
  return sinkOn(aws.url, config, () => JSON.stringify(aws.stagesOf(`rekeyd/${REF}`)));
}

type KekHere = Parameters<typeof openKek>[0];

async function kekOn(target: string, config: (front: Front) => KekHere): Promise<Adapter> {
  const front = await startFront(target);
  const kek = openKek(config(front));
  onTestFinished(async () => void ('kms' in kek && (await kek.kms.release())));
  const { privateKey, thumbprint, alg } = await generateKey('ES256');
  const binding = { ref: REF, thumbprint };
  return {
    front,
    needles: needlesOf(thumbprint, privateKey.keyObject()),
    async work() {
      const sealed = await sealKey(privateKey, binding, [kek]);
      await openKey(sealed, { ...binding, alg }, [kek]);
    },
  };
}

async function transit(auth: VaultAuthConfig, timeoutMs: number): Promise<Adapter> {
  const { url: target, vault } = await startTransit();
  vault.login.policy = 'root';
  return kekOn(target, ({ url }) => ({
    ...{ id: 'kek', kind: 'vault_transit', url, mount: 'transit', key: 'rekeyd', auth, namespace: null },
    ...{ timeoutMs, route: ROUTE },
  }));
}

async function awsKms(timeoutMs: number): Promise<Adapter> {
  const { url: target } = await startAws();
  const place = { keyId: 'alias/rekeyd', region: 'eu-central-1' };
  return kekOn(target, ({ url: endpoint }) => ({ id: 'kek', kind: 'aws_kms', ...place, endpoint, timeoutMs }));
}
