/** `rekeyd pause`: no scheduled rotation begins. {@link ./resume.ts} is the other half. */

import { loadConfig } from '../config/load.ts';
import { type Config, policyFor } from '../config/model.ts';
import { type ClientRef, unconfigured } from '../core/client.ts';
import { parseDuration } from '../core/duration.ts';
import { type Pause, pauseEntry, type Scope, scopeWords, selectorOf } from '../core/pause.ts';
import { isLeak } from '../rotation/exposed.ts';
import { knownOtherwise } from '../rotation/naming.ts';
import type { Store } from '../store/store.ts';
import { actor, caller, type Globals, withResourcesOf } from './open.ts';
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
    const now = await store.now();
    const until = forMs === null ? null : now + forMs;
    const begun: Pause[] = [];
    for (const scope of scopes) {
      if ('client' in scope && errors.has(scope.client)) continue;
      const made: Pause = { scope, actor: actor(), reason, at: now, until };
      await store.beginPause(made, [
        pauseEntry('schedule.paused', scope, { ...caller(), reason }, { until: iso(until) }),
      ]);
      begun.push(made);
    }
    if (options.json) {
      const paused = begun.map(({ scope, at }) => ({ ...scope, reason, since: iso(at), until: iso(until) }));
      printJson({ paused, errors: [...errors].map(([client, message]) => ({ client, message })) });
    } else for (const { scope } of begun) print(pausedLine(scope, until));
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
  if (ms !== null && ms > 0 && ms <= LONGEST_MS) return ms;
  throw usage(`--for ${JSON.stringify(text)} is not a duration. Write a number and a unit, such as 30m, 4h or 2d.`);
}

/** A date that can be written. */
const LONGEST_MS = 3650 * 86_400_000;

/** By client: a misspelt one would be paused in silence. */
async function unknownClients(
  scopes: readonly Scope[],
  config: Config,
  store: Store,
): Promise<ReadonlyMap<ClientRef, string>> {
  const errors = new Map<ClientRef, string>();
  for (const scope of scopes) {
    if (!('client' in scope)) continue;
    const ref = scope.client;
    if (policyFor(config, ref) === null) errors.set(ref, unconfigured(ref));
    else if ((await store.lastOp(ref)) === null)
      errors.set(ref, (await knownOtherwise(store, ref)) ?? `${ref} is not known, so no schedule rotates it.`);
  }
  return errors;
}

function iso(ms: number): string;
function iso(ms: number | null): string | null;
function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
