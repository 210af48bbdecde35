/**
 * A new config, or a new value of a secret, while rekeyd runs: it is checked as a whole, gets a crew of its own, and the crew of the old one drains. What
 * cannot be used changes nothing.
 */
import { hostname } from 'node:os';
import { tryRenewed } from '../../jobs/renewed.ts';
import { changesBetween, fixedChanges } from '../config/changes.ts';
import { parseConfig, readConfig } from '../config/load.ts';
import type { Config } from '../config/model.ts';
import { ConfigError, formatProblem } from '../config/problems.ts';
import { type AuditData, type AuditDraft, type AuditType, type Who, whoOf } from '../core/audit.ts';
import { holdsSecret } from '../core/private-text.ts';
import { shortMessage } from '../core/reply.ts';
import { messageOf } from '../errors.ts';
import type { ReloadOutcome } from '../store/presence.ts';
import { checkCandidate, renewLogin } from './candidate.ts';
import { tellWarnings } from './config-warnings.ts';
import { type Crew, type CrewOptions, startCrew } from './crew.ts';
import { checkRenewedKeys, renewedKeys } from './renewed-keys.ts';
import type { StoreHandle } from './resources.ts';

/** Who asks, for the audit trail. */
export interface Cause extends Who {
  readonly reason: string;
}

/** What a config was made of. */
export interface ConfigSource {
  /** Of the config file. */
  readonly text: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface Reloading {
  /** Of the config in force. */
  readonly crew: Crew;
  /** Why an older config than the one that lies there is in force; null when it is not. */
  readonly problem: string | null;
  /** Those that its secrets and certificates were read from. */
  readonly watchedFiles: readonly string[];
  /** Reads the config file again. One at a time; never rejects. */
  reload(cause: Cause): Promise<ReloadOutcome>;
  /** Reads the secrets of the config in force again. @param isRepeated it was refused just before: now it is told */
  refresh(isRepeated: boolean): Promise<ReloadOutcome>;
  /** Waits for a reload under way, then drains all crews. */
  stop(): Promise<void>;
}

type What = 'the config file' | 'a secret of the config';

/** Why a secret is read again. */
const RENEWAL: Cause = { actor: 'rekeyd', reason: 'a secret has another value' };

/** So many problems of a refused config stand in the audit log. */
const MOST_PROBLEMS = 5;

const UNCHANGED: ReloadOutcome = { kind: 'unchanged' };

/** @param source null: there is no file to read again */
export function openReloading(
  handle: StoreHandle,
  first: Crew,
  source: ConfigSource | null,
  options: CrewOptions & { readonly onSwap: () => void },
): Reloading {
  const { log } = options;
  const draining = new Set<Promise<void>>();
  let crew = first;
  let text = source?.text ?? '';
  let { watchedFiles } = first.config;
  /** By what cannot be used. Secrets are read again by themselves, the file only when somebody asks. */
  const problems: Record<What, string | null> = { 'the config file': null, 'a secret of the config': null };
  let turn: Promise<unknown> = Promise.resolve();
  let stopped = false;

  /** One after the other: each is compared with what the one before has left. */
  function inTurn(work: () => Promise<ReloadOutcome>): Promise<ReloadOutcome> {
    const outcome = turn.then(() => (stopped ? UNCHANGED : settled(work)));
    turn = outcome;
    return outcome;
  }

  /** @throws ConfigError, Error when the store fails on the way */
  async function take(next: string, cause: Cause): Promise<ReloadOutcome> {
    const config = await parseConfig(next, { file: crew.config.file, env: source?.env ?? {} });
    const fixed = fixedChanges(crew.config, config).map(formatProblem);
    if (fixed.length > 0) return refused(fixed);
    // First: without it the store may not answer.
    const login = await renewLogin(handle, config);
    if (login.length > 0) return refused(login);
    const changes = changesBetween(crew.config, config);
    if (changes.length === 0) {
      // The same values may stand in other files now.
      [text, watchedFiles] = [next, config.watchedFiles];
      return UNCHANGED;
    }
    const keks = await checkCandidate(handle, crew.config, config);
    if (keks.length > 0) return refused(keks);
    const keys = await checkRenewedKeys(crew.config, config, { store: handle.store, clock: options.clock });
    if (keys.length > 0) return refused(keys);
    await swap(config, changes, cause);
    [text, watchedFiles] = [next, config.watchedFiles];
    return { kind: 'changed', changes };
  }

  async function swap(config: Config, changes: readonly string[], cause: Cause): Promise<void> {
    const { actor, reason } = cause;
    await handle.store.append([entryOf('config.reloaded', cause, { changes })]);
    const before = crew;
    crew = await startCrew(handle, config, options, false);
    log.info({ changes, actor, reason }, 'the config was reloaded');
    options.onSwap();
    // Beside everything else: the folders of a large fleet take a while to look at.
    tellWarnings(config, log).catch((error: unknown) => log.warn({ error: messageOf(error) }, 'not all was looked at'));
    const keys = renewedKeys(before.config, config).map(({ after }) => after.id);
    const drained = before.stop().then(() => goOn(keys));
    draining.add(drained);
    void drained.finally(() => draining.delete(drained));
    await goOn(keys);
  }

  /** Deployments with another API key: what waits for it need not wait any longer. Once more when no run uses the old one. */
  async function goOn(deployments: readonly string[]): Promise<void> {
    if (deployments.length === 0 || stopped) return;
    await tryRenewed(deployments, crew.context).catch((error: unknown) =>
      log.warn({ deployments, error: messageOf(error) }, 'the new API key could not be tried yet'),
    );
  }

  /** @param cause of a reload that somebody asked for: each has its entry. Secrets are read again by themselves, and told of once. */
  function tell(outcome: ReloadOutcome, what: What, cause: Cause | null = null): void {
    if (outcome.kind !== 'refused') {
      if (problems[what] !== null) log.info({}, `${what} can be used again`);
      problems[what] = null;
      return;
    }
    const next = `${what} cannot be used, so the one from before goes on: ${outcome.problems.join('; ')}`;
    if (next !== problems[what]) {
      for (const one of outcome.problems) log.error({ file: crew.config.file }, `${what} cannot be used: ${one}`);
    }
    if (next !== problems[what] || cause !== null) noteRefused(outcome.problems, what, cause ?? RENEWAL);
    problems[what] = next;
  }

  /** Beside everything else: the store may be what is in the way. */
  function noteRefused(found: readonly string[], what: What, cause: Cause): void {
    const shown = found.slice(0, MOST_PROBLEMS).map(shortMessage);
    const told = shown.map((problem) => (holdsSecret(problem) ? 'a problem that quotes a secret' : problem));
    const noted = handle.store.append([entryOf('config.refused', cause, { what, problems: told })]);
    noted.catch((error: unknown) => log.warn({ error: messageOf(error) }, 'a refused config has no audit entry'));
  }

  return {
    get crew() {
      return crew;
    },
    get watchedFiles() {
      return watchedFiles;
    },
    get problem() {
      return problems['the config file'] ?? problems['a secret of the config'];
    },
    reload: (cause) =>
      inTurn(async () => {
        if (source === null) return refused(['this service was started without a config file']);
        const outcome = await settled(async () => take(await readConfig(crew.config.file), cause));
        tell(outcome, 'the config file', cause);
        // The file was read with its secrets.
        if (outcome.kind !== 'refused') tell(outcome, 'a secret of the config');
        if (outcome.kind === 'unchanged') log.info(cause, 'the config was read again: nothing has changed');
        return outcome;
      }),
    refresh: (isRepeated) =>
      inTurn(async () => {
        const outcome = await settled(() => take(text, RENEWAL));
        // A file that is just being written is empty for a moment.
        if (outcome.kind !== 'refused' || isRepeated) tell(outcome, 'a secret of the config');
        return outcome;
      }),
    async stop() {
      stopped = true;
      await turn;
      await Promise.all([crew.stop(), ...draining]);
    },
  };
}

async function settled(work: () => Promise<ReloadOutcome>): Promise<ReloadOutcome> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ConfigError) return refused(error.problems.map(formatProblem));
    return refused([messageOf(error)]);
  }
}

function entryOf(type: AuditType, cause: Cause, data: AuditData): AuditDraft {
  const service = `${hostname()}:${process.pid}`;
  const { reason } = cause;
  return { type, client: null, rotation: null, ...whoOf(cause), reason, data: { ...data, service } };
}

function refused(problems: readonly string[]): ReloadOutcome {
  return { kind: 'refused', problems };
}
