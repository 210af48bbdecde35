/**
 * The config, fully resolved: every default applied, durations in milliseconds (`…Ms`), paths absolute, secrets read. Plain data otherwise, which nothing
 * changes: a reload makes another {@link Config}.
 */
import type { Freeze } from '../core/calendar.ts';
import type { Policy } from '../core/policy.ts';
import type { TokenScope } from '../core/token.ts';
import type { CohortPolicy } from '../core/wave.ts';
import type { Window } from '../core/window.ts';
import type { KekConfig } from './kek.ts';
import type { QueueConfig } from './queue.ts';
import type { Secret } from './secret.ts';
import type { SinkConfig } from './sinks/model.ts';
import type { TelemetryConfig } from './telemetry.ts';
import type { AlertsConfig, AuditConfig, WebhookConfig } from './telling.ts';

export interface Config {
  /** Absolute path of the config file. */
  readonly file: string;
  readonly dataDir: string;
  /** Part of every name in Redis: see {@link ../store/keys.ts}. */
  readonly namespace: string;
  /** `replicas`: how many must confirm a write before it counts as safe. */
  readonly redis: {
    readonly server: RedisServerConfig;
    readonly replicas: number;
    /** Null: without TLS, unless the URL is `rediss://`. */
    readonly tls: RedisTlsConfig | null;
  };
  readonly durability: 'strict' | 'relaxed';
  /** At least one. The first encrypts, all decrypt. */
  readonly encryption: { readonly keks: readonly KekConfig[] };
  readonly deployments: readonly DeploymentConfig[];
  /** By name; `default` always exists. */
  readonly policies: Readonly<Record<string, PolicyConfig>>;
  /** A compromise of more than this part of the fleet needs a confirmation; 0 to 1. */
  readonly breaker: number;
  /** How many people it takes for what passes the breaker. Null: one. */
  readonly approval: { readonly compromiseAll: number } | null;
  readonly sinks: readonly SinkConfig[];
  readonly http: HttpConfig;
  readonly leaks: LeaksConfig;
  readonly alerts: AlertsConfig;
  readonly webhooks: readonly WebhookConfig[];
  readonly telemetry: TelemetryConfig;
  readonly audit: AuditConfig;
  readonly queue: QueueConfig;
  /** Where `format: jwks_uri` sets are written, and the https URL (no slash at its end) under which a web server serves that folder. */
  readonly publish: { readonly path: string; readonly baseUrl: string } | null;
  readonly reconcileEveryMs: number;
  readonly shutdownGraceMs: number;
  /** Absolute paths of the files that secrets were read from. */
  readonly secretFiles: readonly string[];
  /** The same, and of those that certificates were read from: all are read again when they change. */
  readonly watchedFiles: readonly string[];
  /** What works but probably not as meant. */
  readonly warnings: readonly Problem[];
}

/** Scanners that sign their reports; null: reports of this one are refused. */
export interface LeaksConfig {
  readonly github: SignedByKey | null;
  readonly gitlab: SignedByKey | null;
  readonly gitguardian: { readonly secret: Secret; readonly rotate: boolean } | null;
}

export interface SignedByKey {
  readonly keysUrl: string;
  readonly route: RouteConfig;
  /** A report that shows a private half has its key replaced. */
  readonly rotate: boolean;
}

export type RedisServerConfig =
  /** `searchPath`: where the server's program is looked for, as in PATH. */
  | { readonly kind: 'embedded'; readonly searchPath: string }
  /** `redis://`, `rediss://` or `unix:///path/to/socket`. `login` is empty where the URL has a user or password itself. */
  | { readonly kind: 'url'; readonly url: Secret; readonly login: RedisLogin }
  /** `name` is what the Sentinels call the primary; `sentinelPassword` is their own, `login` that of the servers they watch over. */
  | (RedisNodes & { readonly kind: 'sentinels'; readonly name: string; readonly sentinelPassword: Secret | null })
  | (RedisNodes & { readonly kind: 'cluster' });

interface RedisNodes {
  /** At least one. */
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  readonly login: RedisLogin;
}

interface RedisLogin {
  readonly username: string | null;
  readonly password: Secret | null;
}

/** PEM texts; null: not set. `cert` and `key` come together. */
export interface RedisTlsConfig {
  /** Instead of the certificate authorities that Node.js knows. */
  readonly ca: Secret | null;
  readonly cert: Secret | null;
  readonly key: Secret | null;
  /** The name that is asked for (SNI), and that the server's certificate must have. Null: the host that is connected to. */
  readonly servername: string | null;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

export interface HttpConfig {
  readonly listen: Address;
  /** Where what is public is served; null: beside the API. */
  readonly publicListen: Address | null;
  /** Null: plain HTTP. */
  readonly tls: HttpTlsConfig | null;
  /** What callers may do who show a certificate by `tls.clientCa`. */
  readonly certificates: readonly CertificateConfig[];
  /** Of one token, in one worker. */
  readonly rate: { readonly max: number; readonly perMs: number };
}

/** PEM texts. */
export interface HttpTlsConfig {
  readonly cert: Secret;
  readonly key: Secret;
  /** Null: callers are not asked for a certificate. */
  readonly clientCa: Secret | null;
}

export interface CertificateConfig {
  /** A DNS name or URI among the subject's alternative names. */
  readonly name: string;
  readonly scopes: readonly TokenScope[];
  /** An app (`deployment/slug`) or a client reference that it is restricted to; null: all. */
  readonly only: string | null;
}

export interface ProxyConfig {
  /** http or https, with user and password if it wants them. */
  readonly url: Secret;
  /** As in the environment variable NO_PROXY; empty: everything goes through it. */
  readonly noProxy: string;
}

/** The way to a server over HTTP. */
export interface RouteConfig {
  /** Null: straight. */
  readonly proxy: ProxyConfig | null;
  /** PEM certificates of authorities, beside those that Node trusts. */
  readonly authorities: readonly string[];
}

export interface DeploymentConfig {
  readonly id: string;
  /** No slash at its end. */
  readonly apiUrl: string;
  readonly urlStyle: 'auto' | 'deployment' | 'flat';
  readonly apiKey: Secret;
  readonly route: RouteConfig;
  /** A server's wish to be left alone is a hint: never longer than this. */
  readonly throttleMaxMs: number;
  readonly rateLimit: { readonly max: number; readonly perMs: number };
  /** For one API call in total, body included. */
  readonly timeoutMs: number;
  readonly backoff: { readonly baseMs: number; readonly maxMs: number };
  /** Rotation jobs at once in one worker. */
  readonly concurrency: number;
  readonly apps: readonly AppConfig[];
}

export interface AppConfig {
  readonly slug: string;
  /** Null: `https://` and the app's own fqdn. No slash at its end. */
  readonly issuer: string | null;
  /** Host (and port, if any) of an issuer → origin to connect to instead. */
  readonly resolve: Readonly<Record<string, string>>;
  /** To its issuer: by the deployment's proxy, trusting its own authorities too. */
  readonly route: RouteConfig;
  readonly clients: 'all' | readonly { readonly id: string; readonly policy: string }[];
  readonly policy: string;
}

/** Settings that the core decides by, and those that only schedules and key making need. */
export interface PolicyConfig extends Policy {
  /** node-cron expression, in `timezone`. */
  readonly schedule: string;
  readonly timezone: string;
  /** Empty: scheduled rotations may start at any time. */
  readonly windows: readonly Window[];
  /** Days on which no scheduled rotation begins. */
  readonly freeze: readonly Freeze[];
  /** Null: everything that is due begins at once. */
  readonly cohort: CohortPolicy | null;
  readonly modulusLength: number;
  /** `manual`: when somebody runs `rekeyd probe`. `auto`: before a first rotation of an app, and every day. */
  readonly probe: 'manual' | 'auto' | 'never';
  /** Who answers for the clients; null: nobody was named. */
  readonly owner: string | null;
}

/** One thing to change, and where: `policies.default.schedule`. `line` counts from 1; null when there is no such place in the file. */
export interface Problem {
  readonly path: string;
  readonly message: string;
  readonly line: number | null;
}
