/** `kind: aws_secrets_manager`: a secret per client at AWS. */
import { z } from 'zod';
import { SINK_PREFIX } from '../defaults.ts';
import * as field from '../fields.ts';
import { duration, section, text } from '../fields.ts';
import type { Sources } from '../secrets.ts';
import type { AwsSinkConfig } from './model.ts';

export function awsSink(sources: Sources) {
  return section({
    kind: z
      .literal('aws_secrets_manager')
      .describe('One secret per client in AWS Secrets Manager. Needs @aws-sdk/client-secrets-manager.'),
    region: matching('AWS region.', /^[a-z]{2}(?:-[a-z]+)+-\d$/, 'a region such as eu-central-1'),
    prefix: matching(
      'Names of secrets begin with it: <prefix>/<deployment>/<app-slug>/<oauth_client_id>.',
      /^(?=.{1,256}$)[A-Za-z0-9_+=.@-]+(?:\/[A-Za-z0-9_+=.@-]+)*$/,
      'names with "/" between them, of at most 256 characters, such as rekeyd',
    ).prefault(SINK_PREFIX),
    kms_key_id: text(
      { description: 'ARN, id or alias of the KMS key that encrypts the secrets. Absent: the key of the account.' },
      'a KMS key',
      (id) => id,
    ).optional(),
    endpoint: field.url('A VPC endpoint, or a local stand-in for AWS.').optional(),
    credentials: section({
      access_key_id: matching('Id of the access key.', /^\w{16,128}$/, 'the id of an access key'),
      secret_access_key: field.secret('Secret of the access key: env:NAME or file:PATH.', sources, field.headerSecret),
    })
      .describe('An access key. Absent: what the SDK finds, such as the role of the instance or pod.')
      .optional(),
    timeout: duration('How long one call may take, with its repeats.', { most: '5m' }).prefault('20s'),
  }).transform(
    ({ kind, region, prefix, kms_key_id, endpoint, credentials, timeout }): AwsSinkConfig => ({
      ...{ kind, region, prefix, timeoutMs: timeout, kmsKeyId: kms_key_id ?? null, endpoint: endpoint ?? null },
      credentials:
        credentials === undefined
          ? null
          : { accessKeyId: credentials.access_key_id, secretAccessKey: credentials.secret_access_key },
    }),
  );
}

function matching(description: string, pattern: RegExp, expected: string) {
  return text({ description, pattern: pattern.source }, expected, (value, refuse) =>
    pattern.test(value) ? value : refuse(`is not usable: write ${expected}`),
  );
}
