/** The part of the {@link ./model.ts} that is about who is told what happens: monitors and webhooks. */
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
