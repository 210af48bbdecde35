/** What every command starts from, and how it opens and closes what it works with. */
import { userInfo } from 'node:os';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/model.ts';
import type { Resources } from '../rotation/resources.ts';
import { divertConsole } from '../runtime/console.ts';
import { onTermination } from '../runtime/lifecycle.ts';
import { openLog } from '../runtime/log.ts';
import { openResources } from '../runtime/resources.ts';
import { systemClock } from '../time.ts';

/** What the process was given. */
export interface Globals {
  /** Path of the config file. */
  readonly file: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Ends the process at once. */
  readonly exit: (code: number) => void;
}

/** Warnings of the parts go to stderr. Whatever happens in `work`, all that was opened is closed again. */
export async function withResources<T>({ file, env }: Globals, work: (parts: Resources) => Promise<T>): Promise<T> {
  return withResourcesOf(await loadConfig(file, env), work);
}

export async function withResourcesOf<T>(config: Config, work: (parts: Resources) => Promise<T>): Promise<T> {
  const log = await openLog('warn');
  const giveConsoleBack = divertConsole(log);
  try {
    const parts = await openResources(config, { log, clock: systemClock });
    try {
      return await work(parts);
    } finally {
      await parts.close();
    }
  } finally {
    giveConsoleBack();
  }
}

export interface Interruption {
  /** Aborts on the first SIGTERM or SIGINT (on a terminal also SIGHUP); its reason is the signal's name. A second one ends the process at once. */
  readonly signal: AbortSignal;
  /** Stops listening. */
  release(): void;
}

export function awaitInterruption({ exit }: Globals): Interruption {
  const asked = new AbortController();
  const release = onTermination(
    (signal) => asked.abort(signal),
    () => exit(1),
  );
  return { signal: asked.signal, release };
}

/** Who asks, for the audit trail: what the command line says, and which user of the operating system runs it. */
export function caller(): { readonly actor: string; readonly claimedBy: string } {
  const name = userName();
  return { actor: `cli:${name}`, claimedBy: `os:${name}` };
}

/** The same, as an audit entry says it. */
export function author(): { readonly actor: string; readonly claimed_by: string } {
  const { actor, claimedBy } = caller();
  return { actor, claimed_by: claimedBy };
}

export function actor(): string {
  return caller().actor;
}

/** In a container the user may have no name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid-${process.getuid?.() ?? 'unknown'}`;
  }
}
