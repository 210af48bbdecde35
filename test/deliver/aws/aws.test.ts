/** Keys in AWS Secrets Manager, as Moto plays it. */
import {
  DescribeSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import type { AwsSinkConfig } from '../../../src/config/sinks/model.ts';
import { parseReference } from '../../../src/core/client.ts';
import { SdkMissing } from '../../../src/deliver/aws/sdk.ts';
import { awsSink } from '../../../src/deliver/aws/sink.ts';
import { nextStep, stagesText, type Version } from '../../../src/deliver/aws/stages.ts';
import type { DeliveringStore } from '../../../src/deliver/fence.ts';
import type { Sink, SinkContents } from '../../../src/deliver/sink.ts';
import { type Moto, startMoto, stopMoto } from '../../support/moto.ts';
import { withoutModule } from '../../support/python.ts';
import { contents, holds, message, sinkKey } from '../contents.ts';

const WITHOUT = await withoutModule('moto');

afterAll(stopMoto);

const CREDENTIALS = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: new Secret('not-a-real-secret-key') };

function sinkAt(url: string, store: DeliveringStore | null = null, more: Partial<AwsSinkConfig> = {}): Sink {
  const config: AwsSinkConfig = {
    ...{ kind: 'aws_secrets_manager', region: 'eu-central-1', prefix: 'rekeyd', kmsKeyId: null, timeoutMs: 30_000 },
    ...{ endpoint: url, credentials: CREDENTIALS, ...more },
  };
  const sink = awsSink(config, { store });
  onTestFinished(() => sink.close());
  return sink;
}

let clients = 0;

interface Stand {
  readonly moto: Moto;
  readonly sink: Sink;
  readonly name: string;
  /** As the application, or somebody else, works with AWS. */
  readonly aws: SecretsManagerClient;
  set(keys: Parameters<typeof contents>[0], epoch?: number): SinkContents;
  /** The kid of each stage. */
  stages(): Promise<Record<string, string | null>>;
}

/** A client of its own, which nobody else of the tests uses. */
async function start(): Promise<Stand> {
  const moto = await startMoto();
  clients += 1;
  const ref = parseReference(`1/a~b/${clients}`);
  const name = `rekeyd/1/a=7Eb/${clients}`;
  const { accessKeyId, secretAccessKey } = CREDENTIALS;
  const credentials = { accessKeyId, secretAccessKey: secretAccessKey.reveal() };
  const aws = new SecretsManagerClient({ region: 'eu-central-1', endpoint: moto.url, credentials });
  onTestFinished(() => aws.destroy());
  return {
    moto,
    sink: sinkAt(moto.url),
    name,
    aws,
    set: (keys, epoch = 1) => contents(keys, { ref, epoch }),
    async stages() {
      const { VersionIdsToStages = {} } = await aws.send(new DescribeSecretCommand({ SecretId: name }));
      const held = await Promise.all(
        Object.entries(VersionIdsToStages).flatMap(([VersionId, stages]) =>
          stages.map(async (stage) => {
            const { SecretString = '{}' } = await aws.send(new GetSecretValueCommand({ SecretId: name, VersionId }));
            return [stage, JSON.parse(SecretString).kid] as const;
          }),
        ),
      );
      return Object.fromEntries(held);
    },
  };
}

const deliveryAt = async (sink: Sink, { ref }: SinkContents) => (await sink.sets?.('1/a~b'))?.(ref);

describe.skipIf(WITHOUT !== null)('at Moto', () => {
  test('a rotation moves the stages in step, and each version holds its key', async () => {
    const { sink, aws, name, set, stages } = await start();
    const [a, b, c] = [await sinkKey(), await sinkKey(), await sinkKey()];
    await sink.deliver(set({ current: a }));
    expect(await stages()).toEqual({ AWSCURRENT: a.kid });
    await sink.deliver(set({ current: a, next: b }, 2));
    expect(await stages()).toEqual({ AWSCURRENT: a.kid, AWSPENDING: b.kid });
    await sink.deliver(set({ current: b, previous: a }, 3));
    expect(await stages()).toEqual({ AWSCURRENT: b.kid, AWSPREVIOUS: a.kid });
    expect(await deliveryAt(sink, set({}))).toEqual({ current: b.kid, next: null, previous: a.kid });
    await sink.deliver(set({ current: b }, 4));
    expect(await stages()).toEqual({ AWSCURRENT: b.kid });
    // AWS takes this stage where none is named; Moto goes on with the one that was current before.
    const read = new GetSecretValueCommand({ SecretId: name, VersionStage: 'AWSCURRENT' });
    const { SecretString = '' } = await aws.send(read);
    const { pem, jwk, ...about } = JSON.parse(SecretString);
    expect(about).toEqual({ client_id: 'client-4711', issuer: 'https://auth.example.com', alg: 'ES256', kid: b.kid });
    expect([holds(b, pem), holds(b, JSON.stringify(jwk))]).toEqual([true, true]);
    // Back to a key that no stage has, all at once, and to none.
    await sink.deliver(set({ current: a, next: c, previous: b }, 5));
    expect(await stages()).toEqual({ AWSCURRENT: a.kid, AWSPENDING: c.kid, AWSPREVIOUS: b.kid });
    await sink.deliver(set({}, 6));
    expect(await stages()).toEqual({ AWSCURRENT: null });
    expect(await deliveryAt(sink, set({}))).toEqual({ current: null, next: null, previous: null });
  });

  test('a delivery that is repeated writes no value', async () => {
    const { moto, sink, set } = await start();
    const key = await sinkKey();
    await sink.deliver(set({ current: key }));
    moto.calls.length = 0;
    await sink.deliver(set({ current: key }, 2));
    expect(moto.calls.filter((call) => /Put|Create|Update/.test(call))).toEqual([]);
  });

  test('references and key ids of any length fit, and what a longer one left is not read', async () => {
    const { moto, sink, aws, set } = await start();
    const named = async (kid: string) => ({ ...(await sinkKey()), kid });
    const [longest, full, short] = [await named('k'.repeat(300)), await named('f'.repeat(192)), await named('s')];
    // The last two have no room in the name of a secret: each "~" takes three characters there.
    for (const id of [
      `${clients}.${'x'.repeat(120)}`,
      ...['y', 'z'].map((end) => `${clients}${'~'.repeat(120)}${end}`),
    ]) {
      const ref = parseReference(`1/${'a~'.repeat(64)}/${id}`);
      const keys = { current: longest, next: full, previous: short };
      await sink.deliver({ ...set(keys), ref });
      const { Name = '', Tags = [] } = await aws.send(
        new DescribeSecretCommand({ SecretId: sink.placeOf(ref).split(' ').at(-1) }),
      );
      expect([Name.length <= 512, Tags.length <= 50]).toEqual([true, true]);
      expect(Tags.filter(({ Value = '' }) => Value.length > 256)).toEqual([]);
      const read = await sink.sets?.('1/a');
      expect(await read?.(ref)).toEqual({ current: longest.kid, next: full.kid, previous: 's' });
      // Each place has another length now.
      await sink.deliver({ ...set({ current: full, next: short, previous: longest }, 2), ref });
      expect(await read?.(ref)).toEqual({ current: full.kid, next: 's', previous: longest.kid });
      await expect(sink.deliver({ ...set(keys), ref })).rejects.toMatchObject({ code: 'sink_outdated', epoch: 2 });
    }
    expect(moto.calls.filter((call) => call === 'CreateSecret')).toHaveLength(3);
  });

  test('throttling is waited out by the SDK, and told when it goes on', async () => {
    const { moto, sink, set, stages } = await start();
    const key = await sinkKey();
    moto.failures.push('ThrottlingException');
    await sink.deliver(set({ current: key }));
    expect(await stages()).toEqual({ AWSCURRENT: key.kid });
    moto.failures.push(...Array.from({ length: 10 }, () => 'ThrottlingException'));
    expect(await message(sink.deliver(set({}, 2)))).toMatch(/ThrottlingException: .*wants fewer calls/);
    moto.failures.length = 0;
    expect(await stages()).toEqual({ AWSCURRENT: key.kid });
  });

  test('a stage that somebody else moved is put back; and one that is moved in that moment, too', async () => {
    const { moto, sink, aws, name, set, stages } = await start();
    const [a, b] = [await sinkKey(), await sinkKey()];
    await sink.deliver(set({ current: a, next: b }));
    await aws.send(new PutSecretValueCommand({ SecretId: name, SecretString: '{"kid":"by hand"}' }));
    expect(await stages()).toMatchObject({ AWSCURRENT: 'by hand', AWSPREVIOUS: a.kid });
    expect(await deliveryAt(sink, set({}))).toBeNull();
    await sink.deliver(set({ current: a, next: b }, 2));
    expect(await stages()).toEqual({ AWSCURRENT: a.kid, AWSPENDING: b.kid });

    const { VersionIdsToStages = {} } = await aws.send(new DescribeSecretCommand({ SecretId: name }));
    const versionOf = (stage: string) =>
      Object.entries(VersionIdsToStages).find(([, stages]) => stages.includes(stage))?.[0] ?? '';
    moto.onCall = async (operation) => {
      if (operation !== 'UpdateSecretVersionStage') return;
      moto.onCall = () => {};
      const [from, to] = [versionOf('AWSCURRENT'), versionOf('AWSPENDING')];
      await aws.send(
        new UpdateSecretVersionStageCommand({
          SecretId: name,
          VersionStage: 'AWSCURRENT',
          RemoveFromVersionId: from,
          MoveToVersionId: to,
        }),
      );
    };
    const c = await sinkKey();
    await sink.deliver(set({ current: c, previous: a }, 3));
    expect(await stages()).toEqual({ AWSCURRENT: c.kid, AWSPREVIOUS: a.kid });
  });

  test('an earlier claim, another store and a secret of somebody else are refused', async () => {
    const { moto, sink, aws, name, set, stages } = await start();
    const [one, two] = ['one', 'two'].map((id) => sinkAt(moto.url, { id: () => id, predecessors: async () => [] }));
    const key = await sinkKey();
    await one?.deliver(set({ current: key }, 7));
    await expect(one?.deliver(set({}, 6))).rejects.toMatchObject({ code: 'sink_outdated', epoch: 7 });
    await expect(two?.deliver(set({}, 8))).rejects.toThrow('the store one delivers there');
    expect(await stages()).toEqual({ AWSCURRENT: key.kid });

    const { CreateSecretCommand, DeleteSecretCommand } = await import('@aws-sdk/client-secrets-manager');
    await aws.send(new DeleteSecretCommand({ SecretId: name, RecoveryWindowInDays: 7 }));
    expect(await message(one?.deliver(set({}, 9)) ?? Promise.resolve())).toMatch(/about to be deleted.*restore it/);
    await aws.send(new DeleteSecretCommand({ SecretId: name, ForceDeleteWithoutRecovery: true }));
    await aws.send(new CreateSecretCommand({ Name: name, SecretString: 'theirs' }));
    expect(await message(sink.deliver(set({ current: key })))).toMatch(/without the tags of rekeyd.*another prefix/);
    expect((await aws.send(new GetSecretValueCommand({ SecretId: name }))).SecretString).toBe('theirs');
  });

  test('what is wrong with credentials is told without them', async () => {
    const { moto, sink } = await start();
    expect(await sink.check()).toBeNull();
    moto.failures.push('UnrecognizedClientException');
    const told = await sink.check();
    expect(told).toMatch(/UnrecognizedClientException.*Check credentials/);
    expect(told).not.toContain('not-a-real-secret-key');
    moto.failures.push('AccessDeniedException');
    expect(await sink.check()).toMatch(/the policy in docs\/sinks\.md/);
    expect(await sinkAt('http://127.0.0.1:1').check()).toMatch(/ECONNREFUSED.*Check region, endpoint/);
  });
});

// `describe.skipIf` gives no reason.
test('Moto is there for the tests above', ({ skip }) => skip(WITHOUT !== null, WITHOUT ?? ''));

test('without the SDK a sink says how it is installed', async () => {
  const config = { kind: 'aws_secrets_manager', region: 'eu-central-1', prefix: 'rekeyd', kmsKeyId: null } as const;
  const sink = awsSink({ ...config, endpoint: null, credentials: null, timeoutMs: 1_000 }, { store: null }, () =>
    Promise.reject(new SdkMissing()),
  );
  for (const told of [await sink.check(), await message(sink.deliver(contents({})))]) {
    expect(told).toMatch(
      /client-secrets-manager is not installed\..* Run `npm install @aws-sdk\/client-secrets-manager`/,
    );
  }
  sink.close();
});

test('from any stages there is a way to any others, with AWS as it moves them', () => {
  const version = (id: string): Version => ({ id, value: () => id });
  const [a, b, c] = ['a', 'b', 'c'].map(version);
  if (a === undefined || b === undefined || c === undefined) throw new Error('there are three');
  const others = [null, a, b, c];
  for (const start of ['a', 'b', 'x']) {
    for (const AWSCURRENT of [a, b, c]) {
      for (const AWSPENDING of others) {
        for (const AWSPREVIOUS of others) {
          const held: Record<string, string> = { AWSCURRENT: start, AWSPENDING: 'b' };
          const wanted = { AWSCURRENT, AWSPENDING, AWSPREVIOUS };
          const put = new Set<string>();
          let steps = 0;
          for (let step = nextStep(wanted, held, put); step !== null; step = nextStep(wanted, held, put)) {
            steps += 1;
            if (step.do === 'put') {
              put.add(step.version.id);
              held.AWSPENDING = step.version.id;
              continue;
            }
            expect(held[step.stage] ?? null).toBe(step.from);
            if (step.stage === 'AWSCURRENT' && step.from !== null) held.AWSPREVIOUS = step.from;
            if (step.to === null) delete held[step.stage];
            else held[step.stage] = step.to;
          }
          expect(steps).toBeLessThanOrEqual(8);
          const ids = Object.fromEntries(
            Object.entries(wanted).flatMap(([stage, one]) => (one === null ? [] : [[stage, one.id]])),
          );
          expect(stagesText(held)).toBe(stagesText(ids));
        }
      }
    }
  }
});
