/** The sinks of a config, fully resolved. */
import type { JsonWebKey } from 'node:crypto';
import type { Access } from '../../files/access.ts';
import type { RouteConfig } from '../model.ts';
import type { Secret } from '../secret.ts';
import type { VaultAuthConfig } from '../vault.ts';

export type SinkConfig =
  | DirectorySinkConfig
  | VaultSinkConfig
  | KubernetesSinkConfig
  | ExecSinkConfig
  | EncryptedFileSinkConfig
  | AwsSinkConfig;

export interface DirectorySinkConfig {
  readonly kind: 'directory';
  readonly path: string;
  readonly access: Access;
  /** Where signers write their reports; null: beside their keys. */
  readonly reports: string | null;
  /** `current.pem` begins with a line by which scanners know it; the JWKs always have a member for that. */
  readonly pemComment: boolean;
}

/** What sinks share that are reached over HTTP. */
interface RemoteSink {
  /** No slash at its end. */
  readonly url: string;
  readonly route: RouteConfig;
  /** For one call, body included. */
  readonly timeoutMs: number;
}

export interface VaultSinkConfig extends RemoteSink {
  readonly kind: 'vault';
  /** Of the KV v2 engine; no slash at either end. */
  readonly mount: string;
  /** Before `<deployment>/<app-slug>/<oauth_client_id>`; no slash at either end. */
  readonly prefix: string;
  /** Of Vault Enterprise and OpenBao; null: none. */
  readonly namespace: string | null;
  readonly auth: VaultAuthConfig;
}

export interface KubernetesSinkConfig extends RemoteSink {
  readonly kind: 'kubernetes';
  /** Absolute; it is read again and again: Kubernetes writes another token there every hour. */
  readonly tokenFile: string;
  readonly namespace: string;
  readonly prefix: string;
  readonly clients: readonly KubernetesClient[];
}

export interface KubernetesClient {
  /** Its reference. */
  readonly client: string;
  /** Of its Secret; null: made of the prefix and the reference. */
  readonly name: string | null;
  /** Null: that of the sink. */
  readonly namespace: string | null;
  /** The Deployment that is restarted when the keys change; null: none. */
  readonly restart: string | null;
}

export interface ExecSinkConfig {
  readonly kind: 'exec';
  /** Absolute. */
  readonly program: string;
  readonly args: readonly string[];
  /** Numeric ids; null: as rekeyd. */
  readonly user: number | null;
  readonly group: number | null;
  /** All of its environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

export interface EncryptedFileSinkConfig {
  readonly kind: 'encrypted_file';
  readonly path: string;
  readonly access: Access;
  readonly recipient: Recipient;
}

/** Who can open what is encrypted for them. */
export interface Recipient {
  /** Public members alone. */
  readonly jwk: JsonWebKey;
  readonly alg: 'RSA-OAEP-256' | 'ECDH-ES+A256KW';
  readonly kid: string;
}

export interface AwsSinkConfig {
  readonly kind: 'aws_secrets_manager';
  readonly region: string;
  /** Before `<deployment>/<app-slug>/<oauth_client_id>`; no slash at either end. */
  readonly prefix: string;
  /** Null: the key of the account for Secrets Manager. */
  readonly kmsKeyId: string | null;
  /** Null: that of AWS in the region. */
  readonly endpoint: string | null;
  /** Null: as the SDK finds them (role of the instance or pod, environment, profile). */
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: Secret } | null;
  /** For one call, repeats included. */
  readonly timeoutMs: number;
}

/** The kind of sink through which signers report which keys they hold. */
export const REPORTING = 'directory' satisfies SinkConfig['kind'];
