/** The AWS SDK, which is not installed with rekeyd: it is loaded when a sink of the config needs it. */
import type * as Sdk from '@aws-sdk/client-secrets-manager';
import type { AwsSinkConfig } from '../../config/sinks/model.ts';
import { messageOf } from '../../errors.ts';
import { codeOf } from '../../files/durable.ts';
import { capped, FIRST } from '../../net/aws-answers.ts';

export type { Sdk };

/** @throws Error that says how it is installed */
export async function loadSdk(): Promise<typeof Sdk> {
  try {
    return await import('@aws-sdk/client-secrets-manager');
  } catch (error) {
    throw codeOf(error) === 'ERR_MODULE_NOT_FOUND'
      ? new SdkMissing()
      : new Error(`the AWS SDK cannot be loaded: ${messageOf(error)}`);
  }
}

export class SdkMissing extends Error {
  constructor() {
    super('the package @aws-sdk/client-secrets-manager is not installed');
  }
}

/** Makes no call. */
export function openClient(sdk: typeof Sdk, config: AwsSinkConfig): Sdk.SecretsManagerClient {
  const { region, endpoint, credentials, timeoutMs } = config;
  const client = new sdk.SecretsManagerClient({
    region,
    requestHandler: { requestTimeout: timeoutMs, connectionTimeout: timeoutMs },
    ...(endpoint !== null && { endpoint }),
    ...(credentials !== null && {
      credentials: { accessKeyId: credentials.accessKeyId, secretAccessKey: credentials.secretAccessKey.reveal() },
    }),
  });
  client.middlewareStack.add(capped, FIRST);
  return client;
}

/** What to do about a failure of AWS, without a full stop. */
export function hintFor(error: unknown): string {
  if (error instanceof SdkMissing) return 'Run `npm install @aws-sdk/client-secrets-manager` where rekeyd is installed';
  const name = error instanceof Error ? error.name : '';
  if (/Throttl|TooManyRequests|LimitExceeded/.test(name)) return 'AWS wants fewer calls: it is tried again later';
  if (/Credentials|UnrecognizedClient|ExpiredToken|InvalidSignature|IncompleteSignature/.test(name))
    return 'Check credentials of this sink, or the role of rekeyd';
  if (/AccessDenied/.test(name)) return 'Give the role of rekeyd the policy in docs/sinks.md';
  if (/Encryption|Decryption|KMS/.test(name)) return 'Check kms_key_id of this sink, and that its key is enabled';
  return 'Check region, endpoint and prefix of this sink';
}
