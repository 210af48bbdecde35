/** A symmetric key of AWS KMS. The AWS SDK is loaded at the first call, and only where a config names such a key. */
import type { KMSClient } from '@aws-sdk/client-kms';
import type { AwsKmsConfig } from '../config/kek.ts';
import { messageOf } from '../errors.ts';
import type { Kms } from '../keys/kms.ts';
import { quotable } from '../keys/repeats.ts';
import { capped, FIRST, saidBySdk } from '../net/aws-answers.ts';
import { after, untilAborted } from '../time.ts';
import { foreign, unavailable } from './unavailable.ts';

/** So often the SDK asks in all. When AWS throttles, first the SDK waits between its calls, then the rotation between its tries. */
const ATTEMPTS = 3;

/** @param id of the KEK */
export function awsKms(id: string, config: AwsKmsConfig): Kms {
  const { keyId, timeoutMs } = config;
  let opening: Promise<Opened> | null = null;

  function opened(): Promise<Opened> {
    opening ??= open(id, config).catch((error: unknown) => {
      opening = null;
      throw error;
    });
    return opening;
  }

  /** @param secrets in base64: an error that repeats one is not quoted */
  async function call<T>(
    work: (opened: Opened, abort: { abortSignal: AbortSignal }) => Promise<T>,
    secrets: readonly string[] = [],
  ): Promise<T> {
    const tools = await opened();
    const abortSignal = after(timeoutMs);
    try {
      // The SDK looks for credentials without this signal.
      return await untilAborted(work(tools, { abortSignal }), abortSignal);
    } catch (error) {
      throw refusal(id, keyId, error, secrets);
    }
  }

  return {
    wrap: (dataKey, context) =>
      call(
        async ({ sdk, client }, abort) => {
          const asked = { KeyId: keyId, Plaintext: dataKey, EncryptionContext: { ...context } };
          const { CiphertextBlob: blob } = await client.send(new sdk.EncryptCommand(asked), abort);
          if (!(blob instanceof Uint8Array)) throw new Error('the answer holds no ciphertext');
          return Buffer.from(blob).toString('base64');
        },
        [Buffer.from(dataKey).toString('base64')],
      ),
    unwrap: (wrapped, context) =>
      call(async ({ sdk, client }, abort) => {
        const blob = Buffer.from(wrapped, 'base64');
        const asked = { KeyId: keyId, CiphertextBlob: blob, EncryptionContext: { ...context } };
        const { Plaintext: key } = await client.send(new sdk.DecryptCommand(asked), abort);
        if (!(key instanceof Uint8Array)) throw new Error('the answer holds no plaintext');
        return key;
      }),
    async release() {
      const ending = opening;
      opening = null;
      await ending?.then(({ client }) => client.destroy()).catch(() => {}); // it was never opened
    },
  };
}

interface Opened {
  readonly sdk: typeof import('@aws-sdk/client-kms');
  readonly client: KMSClient;
}

async function open(id: string, { region, endpoint }: AwsKmsConfig): Promise<Opened> {
  const sdk = await import('@aws-sdk/client-kms').catch((error: unknown) => {
    throw unavailable(id, `the package @aws-sdk/client-kms cannot be loaded (${messageOf(error)})`, INSTALL);
  });
  const client = new sdk.KMSClient({
    maxAttempts: ATTEMPTS,
    ...(region !== null && { region }),
    ...(endpoint !== null && { endpoint }),
  });
  client.middlewareStack.add(capped, FIRST);
  return { sdk, client };
}

const INSTALL = 'Run `npm install @aws-sdk/client-kms` where rekeyd is installed.';

/** By the names of its errors, as the API's reference has them. */
const REASONS: Readonly<Record<string, readonly [why: string, fix: string]>> = {
  DisabledException: ['is disabled', 'Enable it.'],
  KMSInvalidStateException: ['is not in a state to be used', 'Cancel its deletion, or enable it.'],
  NotFoundException: ['does not exist', 'Correct key_id and region under encryption.keks.'],
  AccessDeniedException: ['may not be used by rekeyd', 'Allow kms:Encrypt and kms:Decrypt on it.'],
  ThrottlingException: ['is asked too often', 'Raise the quota where this lasts.'],
  LimitExceededException: ['is asked too often', 'Raise the quota where this lasts.'],
  CredentialsProviderError: ['cannot be asked without credentials', 'Give rekeyd a role, or a profile of the AWS SDK.'],
};

const FOREIGN: readonly string[] = ['InvalidCiphertextException', 'IncorrectKeyException'];

function refusal(id: string, keyId: string, error: unknown, secrets: readonly string[]): Error {
  const name = error instanceof Error ? error.name : '';
  if (FOREIGN.includes(name)) return foreign(id, `AWS KMS says ${name}`);
  const said = quotable(saidBySdk(error), secrets);
  const [why, fix] = REASONS[name] ?? [`cannot be asked (${said})`, 'Look at AWS KMS and the way to it.'];
  return unavailable(id, `the AWS KMS key ${keyId} ${why}`, fix);
}
