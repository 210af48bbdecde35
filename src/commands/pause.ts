/** `rekeyd pause`: no scheduled rotation begins. {@link ./resume.ts} is the other half. */

import { LONGEST_PAUSE_MS, pauseScope, whyNotPaused } from '../../jobs/hold.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/model.ts';
import type { ClientRef } from '../core/client.ts';
import { parseDuration } from '../core/duration.ts';
import { type Pause, type Scope, scopeWords, selectorOf } from '../core/pause.ts';
import { isLeak } from '../rotation/exposed.ts';
import type { Store } from '../store/store.ts';
import { caller, type Globals, withResourcesOf } from './open.ts';
import { noteAbout, print, printJson } from './output.ts';
import { type Select, type SelectOptions, selectionOf, usage } from './select.ts';

export interface PauseOptions extends SelectOptions {
  readonly reason: string;
  readonly for?: string;
  readonly json?: boolean;
}

export async function pause(globals: Globals, named: readonly string[], options: PauseOptions): Promise<number> {
  const config = await loadConfig(globals.file, globals.env);
  const scopes = scopesIn(selectionOf(named, options, config).select, 'pause');
  const forMs = options.for === undefined ? null : durationOf(options.for);
  const reason = options.reason.trim();
  if (reason === '') throw usage('--reason is blank. Say why: `rekeyd status` shows the reason.');
  return withResourcesOf(config, async ({ store }) => {
    const errors = await unknownClients(scopes, config, store);
    const begun: Pause[] = [];
    for (const scope of scopes) {
      if ('client' in scope && errors.has(scope.client)) continue;
      begun.push(await pauseScope(scope, { ...caller(), reason }, forMs, store));
    }
    if (options.json) {
      const paused = begun.map(({ scope, at, until }) => ({ ...scope, reason, since: iso(at), until: iso(until) }));
      printJson({ paused, errors: [...errors].map(([client, message]) => ({ client, message })) });
    } else for (const { scope, until } of begun) print(pausedLine(scope, until));
    for (const [client, message] of errors) noteAbout(client, message);
    return errors.size === 0 ? 0 : 1;
  });
}

function pausedLine(scope: Scope, until: number | null): string {
  const end = until === null ? '' : `until ${iso(until)}, or `;
  return `Paused: ${scopeWords(scope)}. No scheduled rotation begins ${end}until \`rekeyd resume ${selectorOf(scope)}\`. Rotations under way are finished; requests and compromises go through.`;
}

/** @throws RekeydError `usage` when nothing was selected */
export function scopesIn(select: Select | null, command: string): readonly Scope[] {
  if (select === null) throw usage(`Say what to ${command}: deployment/app-slug/id …, --app, --policy or --all.`);
  if (isLeak(select)) throw usage(`There is nothing to ${command} by what leaked.`);
  return 'clients' in select ? select.clients.map((client) => ({ client })) : [select];
}

function durationOf(text: string): number {
  const ms = parseDuration(text);
  if (ms !== null && ms > 0 && ms <= LONGEST_PAUSE_MS) return ms;
  throw usage(`--for ${JSON.stringify(text)} is not a duration. Write a number and a unit, such as 30m, 4h or 2d.`);
}

/** By client. */
async function unknownClients(
  scopes: readonly Scope[],
  config: Config,
  store: Store,
): Promise<ReadonlyMap<ClientRef, string>> {
  const errors = new Map<ClientRef, string>();
  for (const scope of scopes) {
    if (!('client' in scope)) continue;
    const why = await whyNotPaused(scope.client, config, store);
    if (why !== null) errors.set(scope.client, why);
  }
  return errors;
}

function iso(ms: number): string;
function iso(ms: number | null): string | null;
function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
