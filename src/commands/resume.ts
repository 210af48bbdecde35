/** `rekeyd resume`: scheduled rotations begin again, after a pause by a person and after a wave that stopped. */
import { type Resumed, resumeScope } from '../../jobs/hold.ts';
import { resumePolicy } from '../../jobs/wave.ts';
import { loadConfig } from '../config/load.ts';
import type { Cause } from '../core/history.ts';
import { byScope, type Scope, scopeWords, selectorOf } from '../core/pause.ts';
import type { Resources } from '../rotation/resources.ts';
import type { ChangeOptions } from './clients.ts';
import { caller, type Globals, withResourcesOf } from './open.ts';
import { note, print, printJson } from './output.ts';
import { scopesIn } from './pause.ts';
import { withQueues } from './queues.ts';
import { type SelectOptions, selectionOf } from './select.ts';

export interface ResumeOptions extends SelectOptions, ChangeOptions {}

/** Ends the pauses of exactly these selectors; of a policy, its wave goes on too. Ends with 1 while a wider pause goes on to hold them back. */
export async function resume(globals: Globals, named: readonly string[], options: ResumeOptions): Promise<number> {
  const config = await loadConfig(globals.file, globals.env);
  const scopes = scopesIn(selectionOf(named, options, config).select, 'resume');
  const cause = { ...caller(), reason: options.reason ?? 'asked for on the command line' };
  return withResourcesOf(config, async (resources) => {
    const { store } = resources;
    const resumed: Resumed[] = [];
    for (const scope of scopes) {
      resumed.push(await resumeScope(scope, cause, { config, store }, (name) => resumeWave(name, cause, resources)));
    }
    const left = byScope(await store.pauses(), await store.now());
    if (options.json) {
      const shown = resumed.map(({ scope, wasPaused, wasStopped, stillHeld }) => ({
        ...scope,
        was_paused: wasPaused,
        ...(wasStopped !== null && { was_stopped: wasStopped }),
        still_paused_by: stillHeld === null ? null : stillHeld.scope,
      }));
      printJson({ resumed: shown, pauses: [...left.values()].map(({ scope }) => scope) });
    } else for (const one of resumed) print(resumedLine(one));
    if (left.size > 0)
      note(`Pauses that are left: ${[...left.values()].map(({ scope }) => selectorOf(scope)).join(', ')}.`);
    return resumed.every(({ stillHeld }) => stillHeld === null) ? 0 : 1;
  });
}

async function resumeWave(policy: string, cause: Omit<Cause, 'request'>, resources: Resources): Promise<boolean> {
  const { store, config } = resources;
  const deployments = config.deployments.map(({ id }) => id);
  return withQueues(resources, (queues) => resumePolicy(policy, cause, { store, queues }), deployments);
}

function resumedLine({ scope, wasPaused, wasStopped, stillHeld }: Resumed): string {
  const what = resumedWords(scope, wasPaused, wasStopped);
  if (stillHeld === null) {
    if (wasStopped)
      return `${what} A worker begins the rest of its due clients: \`rekeyd status\` shows how far it is.`;
    return wasPaused ? `${what} What is due begins with the next tick of its schedule.` : what;
  }
  const { actor, reason } = stillHeld;
  return `${what} Still paused, by ${actor}: ${scopeWords(stillHeld.scope)} (${reason}). \`rekeyd resume ${selectorOf(stillHeld.scope)}\` ends that.`;
}

function resumedWords(scope: Scope, wasPaused: boolean, wasStopped: boolean | null): string {
  if (wasStopped) return `Resumed: ${scopeWords(scope)}, whose wave had stopped.`;
  if (wasPaused) return `Resumed: ${scopeWords(scope)}.`;
  const wave = wasStopped === null ? '' : ', and its wave did not stop';
  return `There is no pause of ${scopeWords(scope)}${wave}.`;
}
