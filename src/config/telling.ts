/** The part of the {@link ./model.ts} that is about who is told what happens: monitors, webhooks, and what the audit log is exported to. */
import type { RouteConfig } from './model.ts';
import type { Secret } from './secret.ts';

export interface AlertsConfig {
  /** A monitor that is told that all is well; null: none. */
  readonly heartbeat: HeartbeatConfig | null;
}

export interface HeartbeatConfig {
  readonly url: Secret;
  readonly everyMs: number;
  readonly route: RouteConfig;
}

export const FORMATS = ['standard', 'slack', 'teams', 'pagerduty'] as const;

export interface WebhookConfig {
  readonly name: string;
  /** Https; http only to a loopback host that is in `allowPrivate`. */
  readonly url: Secret;
  readonly format: (typeof FORMATS)[number];
  /** Bytes of the keys that it is signed with; at least one with `format: standard`, else none. */
  readonly secrets: readonly Secret[];
  /** With `format: pagerduty`, else null. */
  readonly routingKey: Secret | null;
  /** Audit types, or `prefix.*`. Empty: all. */
  readonly events: readonly string[];
  /** Apps (`deployment/slug`) and client references. Empty: all. */
  readonly only: readonly string[];
  /** Hosts, as they stand in a URL, that may lead into a private network. */
  readonly allowPrivate: readonly string[];
  /** For one try in total. */
  readonly timeoutMs: number;
  /** What was tried in vain and is older becomes a dead letter. */
  readonly giveUpMs: number;
  readonly route: RouteConfig;
}

export interface AuditConfig {
  /** Exported entries that are older than this are cut from the log. */
  readonly keepMs: number;
  /** Beyond it, exported entries are cut before they are that old. */
  readonly mostBytes: number;
  /** Every entry goes to all of them before it is cut; empty: nothing is cut. */
  readonly exports: readonly AuditExportConfig[];
}

/** `name` is unique, for people. `id` says in the store how far the export is: another id begins with what the log still has. */
export type AuditExportConfig = { readonly name: string; readonly id: string } & (
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'stdout' }
  | {
      readonly kind: 'syslog';
      readonly host: string;
      readonly port: number;
      readonly tls: boolean;
      /** PEM certificates of authorities, beside those that Node trusts. */
      readonly authorities: readonly string[];
    }
  /** `token`: null where the receiver wants none. */
  | { readonly kind: 'https'; readonly url: string; readonly token: Secret | null; readonly route: RouteConfig }
);
