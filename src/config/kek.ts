/** A key encryption key of the section `encryption`: its bytes, or the service that holds it. */
import { z } from 'zod';
import * as field from './fields.ts';
import { duration, name, section, text } from './fields.ts';
import type { RouteConfig } from './model.ts';
import { authorities, proxy } from './route.ts';
import type { Secret } from './secret.ts';
import type { Sources } from './secrets.ts';

/** `key` of a local one: 32 bytes. */
export type KekConfig = { readonly id: string } & (
  | { readonly kind: 'local'; readonly key: Secret }
  | ({ readonly kind: 'vault_transit' } & VaultTransitConfig)
  | ({ readonly kind: 'aws_kms' } & AwsKmsConfig)
);

export interface VaultTransitConfig {
  readonly url: string;
  /** Path of the secrets engine, without slashes around it. */
  readonly mount: string;
  readonly key: string;
  readonly token: Secret;
  readonly namespace: string | null;
  readonly timeoutMs: number;
  readonly route: RouteConfig;
}

export interface AwsKmsConfig {
  readonly keyId: string;
  /** Null: as the environment and the files of the SDK say. */
  readonly region: string | null;
  readonly endpoint: string | null;
  readonly timeoutMs: number;
}

const TIMEOUT = 'How long one call may take.';

export function kek(sources: Sources) {
  return section({
    id: name('Its name, which stands in every key that it encrypts. Never use an id again.'),
    key: field.secret('32 bytes in base64url: env:NAME or file:PATH.', sources, field.kekSecret).optional(),
    vault_transit: vaultTransit(sources).describe('A key of the Transit engine of Vault or OpenBao.').optional(),
    aws_kms: awsKms().describe('A symmetric key of AWS KMS. Needs the package @aws-sdk/client-kms.').optional(),
  }).transform(({ id, key, vault_transit: transit, aws_kms: kms }, context): KekConfig => {
    const given = [
      ...(key === undefined ? [] : [{ id, kind: 'local', key } as const]),
      ...(transit === undefined ? [] : [{ id, kind: 'vault_transit', ...transit } as const]),
      ...(kms === undefined ? [] : [{ id, kind: 'aws_kms', ...kms } as const]),
    ];
    const [only] = given;
    if (only !== undefined && given.length === 1) return only;
    const message =
      only === undefined
        ? 'is missing: write key: env:NAME or file:PATH, or vault_transit or aws_kms in its place'
        : 'must stand alone: a KEK has one of key, vault_transit and aws_kms';
    context.addIssue({ code: 'custom', path: ['key'], message });
    return z.NEVER;
  });
}

function vaultTransit(sources: Sources) {
  return section({
    url: field.url('URL of the server, such as https://vault.example.com:8200.', { only: 'origin' }),
    mount: place('Path of the Transit engine.').prefault('transit'),
    key: place('Name of the key. Its type is aes256-gcm96, aes128-gcm96 or chacha20-poly1305.'),
    token: field.secret(
      'Token that may encrypt and decrypt with the key: env:NAME or file:PATH.',
      sources,
      field.headerSecret,
    ),
    namespace: place('Namespace, where the server has them.').optional(),
    timeout: duration(TIMEOUT, { most: '1m' }).prefault('5s'),
    proxy: proxy('How the server is connected to: env, none, or the URL of a proxy.', sources).prefault('env'),
    ca: authorities('PEM certificates of authorities that are trusted beside the usual ones.', sources).optional(),
  }).transform(({ timeout, proxy: by, ca = [], namespace = null, ...input }): VaultTransitConfig => {
    return { ...input, namespace, timeoutMs: timeout, route: { proxy: by, authorities: ca } };
  });
}

function awsKms() {
  return section({
    key_id: text({ description: 'ARN, id or alias/NAME of the key.' }, 'the ARN of the key', (value, refuse) =>
      /^[\w:/-]{1,2048}$/.test(value) ? value : refuse('is no key of AWS KMS: write its ARN, its id, or alias/NAME'),
    ),
    region: text(
      { description: 'AWS region. Absent: the one that the AWS SDK finds.' },
      'a region such as eu-central-1',
      (value, refuse) =>
        /^[a-z0-9-]{1,40}$/.test(value) ? value : refuse('is no region: write one such as eu-central-1'),
    ).optional(),
    endpoint: field.url('Where AWS KMS is. Absent: the endpoint of the region.', { only: 'origin' }).optional(),
    timeout: duration(TIMEOUT, { most: '1m' }).prefault('5s'),
  }).transform(
    ({ key_id: keyId, region = null, endpoint = null, timeout }): AwsKmsConfig => ({
      keyId,
      region,
      endpoint,
      timeoutMs: timeout,
    }),
  );
}

/** A part of a path in the API of Vault. */
function place(description: string) {
  return text({ description }, 'a path such as transit', (value, refuse) =>
    /^[\w-]+(?:\/[\w-]+)*$/.test(value) ? value : refuse('is no path: write letters, digits, "-", "_" and "/" between'),
  );
}
