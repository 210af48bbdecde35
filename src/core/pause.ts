/** Pauses by people: no scheduled rotation begins for a client, an app, a policy or the whole fleet. A request for a rotation goes through. */
import type { AuditData, AuditDraft } from './audit.ts';
import { type ClientRef, splitReference } from './client.ts';
import type { Cause } from './history.ts';

/** What a pause covers. */
export type Scope =
  | { readonly client: ClientRef }
  /** `deployment/app-slug` */
  | { readonly app: string }
  | { readonly policy: string }
  | { readonly all: true };

export interface Pause {
  readonly scope: Scope;
  readonly actor: string;
  readonly reason: string;
  /** Milliseconds since the epoch, on the store's clock. */
  readonly at: number;
  /** Null: until somebody ends it. */
  readonly until: number | null;
}

/** One name for each scope. No part of it has a blank. */
export function scopeName(scope: Scope): string {
  return Object.entries(scope)
    .map(([kind, value]) => (value === true ? kind : `${kind} ${value}`))
    .join(' ');
}

/** As a person reads it. */
export function scopeWords(scope: Scope): string {
  if ('all' in scope) return 'all clients';
  if ('app' in scope) return `all clients of app ${scope.app}`;
  return 'policy' in scope ? `all clients of policy ${scope.policy}` : scope.client;
}

/** The selector of `rekeyd resume` that ends a pause of this scope. */
export function selectorOf(scope: Scope): string {
  if ('all' in scope) return '--all';
  if ('app' in scope) return `--app ${scope.app}`;
  return 'policy' in scope ? `--policy ${scope.policy}` : scope.client;
}

/** Every scope that covers a client, the widest first. */
export function scopesOf(ref: ClientRef, policy: string | null): readonly Scope[] {
  const { deployment, app } = splitReference(ref);
  const own = policy === null ? [] : [{ policy }];
  return [{ all: true }, ...own, { app: `${deployment}/${app}` }, { client: ref }];
}

export function isInForce({ until }: Pause, now: number): boolean {
  return until === null || now < until;
}

/** Those in force, by the names of their scopes: a fleet is looked through once. */
export function byScope(pauses: readonly Pause[], now: number): ReadonlyMap<string, Pause> {
  return new Map(pauses.filter((pause) => isInForce(pause, now)).map((pause) => [scopeName(pause.scope), pause]));
}

/** The pause that holds a client back: of several the one that lasts longest, and of those the widest. */
export function pauseOf(pauses: ReadonlyMap<string, Pause>, ref: ClientRef, policy: string | null): Pause | null {
  const lasts = ({ until }: Pause) => until ?? Number.POSITIVE_INFINITY;
  const covering = scopesOf(ref, policy).flatMap((scope) => pauses.get(scopeName(scope)) ?? []);
  return covering.reduce<Pause | null>(
    (longest, pause) => (longest === null || lasts(pause) > lasts(longest) ? pause : longest),
    null,
  );
}

export function pauseEntry(
  type: 'schedule.paused' | 'schedule.resumed',
  scope: Scope,
  { actor, reason, claimedBy }: Omit<Cause, 'request'>,
  more: AuditData = {},
): AuditDraft {
  const client = 'client' in scope ? scope.client : null;
  const who = { actor, ...(claimedBy !== undefined && { claimed_by: claimedBy }), reason };
  return { type, client, rotation: null, ...who, data: { ...scope, ...more } };
}
