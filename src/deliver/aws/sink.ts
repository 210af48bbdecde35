/**
 * Keys in AWS Secrets Manager: one secret per client, whose versions have one key each. Stages are moved one by one, each from the version that was seen to have
 * it: where somebody else has moved it meanwhile, AWS refuses, and rekeyd looks again.
 */
import type { AwsSinkConfig } from '../../config/sinks/model.ts';
import { shortMessage } from '../../core/reply.ts';
import { sameDelivery } from '../../core/signers.ts';
import { messageOf, RekeydError } from '../../errors.ts';
import { saidBySdk } from '../../net/aws-answers.ts';
import { after, untilAborted } from '../../time.ts';
import { kidsOf } from '../document.ts';
import { fenceOf, refuseFenced } from '../fence.ts';
import type { SinkTools } from '../open.ts';
import { type Sink, type SinkContents, sinkFailed } from '../sink.ts';
import { hintFor, loadSdk, openClient, type Sdk } from './sdk.ts';
import { doneTags, type FoundSecret, fenceTags, nameOf, secretIn } from './secret.ts';
import { nextStep, type StageStep, wantedBy } from './stages.ts';

/** A delivery takes up to eight steps. More of them mean that somebody else moves stages at the same time. */
const MOST_STEPS = 20;

/** @param load for tests: the SDK may be missing */
export function awsSink(config: AwsSinkConfig, { store }: Pick<SinkTools, 'store'>, load = loadSdk): Sink {
  const { region, prefix, kmsKeyId, timeoutMs } = config;
  const name = `aws_secrets_manager ${region} ${prefix}`;
  const placeOf = (ref: string) => `aws_secrets_manager ${region} ${nameOf(prefix, ref)}`;
  let opened: Promise<{ sdk: typeof Sdk; client: Sdk.SecretsManagerClient }> | null = null;

  function open() {
    opened ??= load().then((sdk) => ({ sdk, client: openClient(sdk, config) }));
    return opened.catch((error: unknown) => {
      opened = null;
      throw error;
    });
  }

  /** One call, repeats included. The SDK looks for credentials without this signal, so the call is not waited for beyond it. */
  async function within<T>(call: (options: { readonly abortSignal: AbortSignal }) => Promise<T>): Promise<T> {
    const abortSignal = after(timeoutMs);
    return untilAborted(call({ abortSignal }), abortSignal);
  }

  async function describe(SecretId: string): Promise<FoundSecret | null> {
    const { sdk, client } = await open();
    try {
      const answer = await within((options) => client.send(new sdk.DescribeSecretCommand({ SecretId }), options));
      if (answer.Name !== SecretId) throw new Error('AWS describes another secret than it was asked for, or none');
      return secretIn(answer);
    } catch (error) {
      if (error instanceof sdk.ResourceNotFoundException) return null;
      throw error;
    }
  }

  async function create(contents: SinkContents): Promise<void> {
    const { sdk, client } = await open();
    const { AWSCURRENT } = wantedBy(contents);
    const input: Sdk.CreateSecretCommandInput = {
      Name: nameOf(prefix, contents.ref),
      ClientRequestToken: AWSCURRENT.id,
      SecretString: AWSCURRENT.value(),
      Description: `Keys of the OAuth client ${contents.ref}, by rekeyd`,
      Tags: fenceTags(fenceOf(contents, store)),
      ...(kmsKeyId !== null && { KmsKeyId: kmsKeyId }),
    };
    await within((options) => client.send(new sdk.CreateSecretCommand(input), options)).catch((error: unknown) => {
      // Another worker was faster.
      if (!(error instanceof sdk.ResourceExistsException)) throw error;
    });
  }

  async function tag(SecretId: string, Tags: Sdk.Tag[]): Promise<void> {
    const { sdk, client } = await open();
    await within((options) => client.send(new sdk.TagResourceCommand({ SecretId, Tags }), options));
  }

  /** @returns why AWS refuses to move a stage that is not where it was seen, or null */
  async function take(step: StageStep, SecretId: string): Promise<string | null> {
    const { sdk, client } = await open();
    if (step.do === 'put') {
      const { id: ClientRequestToken, value } = step.version;
      const input = { SecretId, ClientRequestToken, SecretString: value(), VersionStages: ['AWSPENDING'] };
      await within((options) => client.send(new sdk.PutSecretValueCommand(input), options));
      return null;
    }
    const { stage: VersionStage, from, to } = step;
    const input = {
      ...{ SecretId, VersionStage },
      ...(from !== null && { RemoveFromVersionId: from }),
      ...(to !== null && { MoveToVersionId: to }),
    };
    try {
      await within((options) => client.send(new sdk.UpdateSecretVersionStageCommand(input), options));
      return null;
    } catch (error) {
      if (error instanceof sdk.InvalidParameterException) return messageOf(error);
      throw error;
    }
  }

  /** @throws Error, SinkOutdated where the secret is not ours to write */
  async function expectOurs({ fence, isDeleted }: FoundSecret, contents: SinkContents): Promise<void> {
    if (fence === null) throw new SecretTaken('a secret is there without the tags of rekeyd');
    if (isDeleted) throw new SecretTaken('the secret is about to be deleted');
    await refuseFenced(placeOf(contents.ref), fence, contents, store);
  }

  async function deliver(contents: SinkContents): Promise<void> {
    const secret = nameOf(prefix, contents.ref);
    const wanted = wantedBy(contents);
    const put = new Set<string>();
    let isFenced = false;
    let isTagged = false;
    let refusal: string | null = null;
    for (let steps = 0; steps < MOST_STEPS; steps += 1) {
      const found = await describe(secret);
      if (found === null) {
        await create(contents);
        continue;
      }
      await expectOurs(found, contents);
      if (!isFenced) await tag(secret, fenceTags(fenceOf(contents, store)));
      isFenced = true;
      const step = nextStep(wanted, found.held, put);
      if (step === null) {
        // Seen, and not only answered: without its tags the next look finds no delivery.
        if (sameDelivery(found.delivery, kidsOf(contents))) return;
        await tag(secret, doneTags(contents, found.held));
        isTagged = true;
        continue;
      }
      isTagged = false;
      refusal = (await take(step, secret)) ?? refusal;
      if (step.do === 'put') put.add(step.version.id);
    }
    if (isTagged) throw new Error('AWS takes tags of the secret, and does not show them');
    throw new SecretTaken(`somebody else moves its stages at the same time${refusal === null ? '' : ` (${refusal})`}`);
  }

  return {
    name,
    placeOf,
    async deliver(contents) {
      try {
        await deliver(contents);
      } catch (error) {
        throw failed(placeOf(contents.ref), error);
      }
    },
    sets: async () => async (ref) => {
      try {
        const found = await describe(nameOf(prefix, ref));
        return found === null || found.isDeleted || found.fence?.client !== ref ? null : found.delivery;
      } catch (error) {
        throw failed(placeOf(ref), error);
      }
    },
    reports: null,
    async check() {
      try {
        // Whether it may write is told by the first delivery: AWS has no dry run.
        await describe(nameOf(prefix, 'doctor/check/rights'));
        return null;
      } catch (error) {
        return failed(name, error).message;
      }
    },
    close() {
      void opened?.then(({ client }) => client.destroy()).catch(() => {});
    },
  };
}

class SecretTaken extends Error {}

function failed(place: string, error: unknown): RekeydError {
  if (error instanceof RekeydError) return error;
  const isNamed = error instanceof Error && error.name.endsWith('Exception');
  const said = shortMessage(saidBySdk(error));
  const why = isNamed ? `${shortMessage(error.name)}: ${said}` : said;
  return sinkFailed(place, why, error instanceof SecretTaken ? LEAVE_IT : hintFor(error));
}

const LEAVE_IT =
  'rekeyd writes no secret that it did not make: delete or restore it, find out who writes it, or set another prefix';
