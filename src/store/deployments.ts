/** What the workers know together of each deployment: its API budget, and whether it is paused or wants to be left alone. One place for each fact. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { AuditDraft } from '../core/audit.ts';
import type { LookBy } from '../core/server.ts';
import { draftTexts } from './audit-log.ts';
import {
  ACCEPTED,
  FIRST_DOMAIN,
  HELD,
  LIST_REST,
  LOOKED_BY,
  NOTE_LIST,
  NOTE_LOOKED_BY,
  PAUSE,
  REFUSED,
  SPEND,
  TAKE,
  TAKE_PAUSED_BEFORE,
  THROTTLE,
} from './lua/deployments.ts';
import { integer, list, text } from './redis/replies.ts';
import type { Scripts } from './redis/scripts.ts';

export interface Budget {
  readonly max: number;
  readonly perMs: number;
}

/**
 * Whether a call may be made now. `isWatched`: tell {@link Deployments.accepted} when it succeeds. `isTry`: it is let through to see whether a pause or a
 * throttle is over. `forMs`: until it is worth asking again, for a reason that `status` shows.
 */
export type Turn =
  | { readonly go: true; readonly isWatched: boolean; readonly isTry: boolean }
  | { readonly go: false; readonly forMs: number; readonly because: 'budget' | 'paused' | 'throttled' };

export interface DeploymentState {
  /** Why it is paused; null when it is not. */
  readonly paused: string | null;
  /** Left alone until then, in ms since the epoch; null when it is not. */
  readonly throttledUntil: number | null;
}

export interface Deployments {
  /** Takes one call from the budget. What is urgent goes first. */
  take(deployment: string, budget: Budget, urgent: boolean): Promise<Turn>;
  /** The server asks to be left alone for `ms`: durable, so that a crash of Redis does not forget it. True when it was not left alone before. */
  throttle(deployment: string, ms: number, entries: readonly AuditDraft[]): Promise<boolean>;
  /** Nothing more is sent, but for a call now and then. True when this call paused it; only then are the entries written. */
  pause(deployment: string, why: string, entries: readonly AuditDraft[]): Promise<boolean>;
  /**
   * A PATCH of that client was turned down: `refused` with 401 or 403, `limited` with 429. True when the same happened to several clients in a row.
   */
  turnedDown(deployment: string, client: string, by: 'refused' | 'limited'): Promise<boolean>;
  /** The API took a call. True when that ended a pause; only then are the entries written. */
  accepted(deployment: string, entries: readonly AuditDraft[]): Promise<boolean>;
  /** A call that has to be made now: it is counted, and never waits. */
  spend(deployment: string, budget: Budget): Promise<void>;
  /** The part of the budget that is spent now, 0 to 1. */
  spentPart(deployment: string, budget: Budget): Promise<number>;
  /** How single clients of the deployment are looked at, as was found out in the last days; null when it was not. */
  lookedBy(deployment: string): Promise<LookBy | null>;
  noteLookedBy(deployment: string, by: LookBy): Promise<void>;
  /** The domain that the API told first for an app. */
  firstDomain(deployment: string, app: string, domain: string): Promise<string>;
  /** For how long, in ms, the list of an app is not to be read, because reading it took so long. */
  listRest(deployment: string, app: string): Promise<number>;
  /** The list of an app took `ms` to read. */
  noteList(deployment: string, app: string, ms: number): Promise<void>;
  /** True when version 0.1 had paused it, and this is the first to ask. */
  takePausedBefore(deployment: string): Promise<boolean>;
  /** Of these deployments. */
  deploymentStates(deployments: readonly string[]): Promise<ReadonlyMap<string, DeploymentState>>;
}

/** A server that changed its ways is noticed after a week, in ms. */
const LOOKED_FOR_MS = 7 * 86_400_000;

export function openDeployments(redis: Redis, scripts: Scripts): Deployments {
  const { keys } = scripts;
  return {
    async take(deployment, { max, perMs }, urgent) {
      const args = [max, perMs, urgent ? 1 : 0];
      const [answer, value] = list(await scripts.run({ lua: TAKE, keys: [keys.deployment(deployment)], args }));
      if (answer === 'go' || answer === 'try') return { go: true, isWatched: value === 1, isTry: answer === 'try' };
      const because = answer === 'paused' || answer === 'throttled' ? answer : 'budget';
      return { go: false, forMs: Math.max(1, integer(value)), because };
    },
    async throttle(deployment, ms, entries) {
      const call = {
        lua: THROTTLE,
        keys: [keys.deployment(deployment), keys.audit],
        args: [Math.ceil(ms), ...draftTexts(entries)],
      };
      return (await scripts.runDurably(call)) === 1;
    },
    async pause(deployment, why, entries) {
      const args = [randomUUID(), why, ...draftTexts(entries)];
      return (await scripts.run({ lua: PAUSE, keys: [keys.deployment(deployment), keys.audit], args })) === 1;
    },
    async turnedDown(deployment, client, by) {
      return (await scripts.run({ lua: REFUSED, keys: [keys.deployment(deployment)], args: [client, by] })) === 1;
    },
    async accepted(deployment, entries) {
      const touched = [keys.deployment(deployment), keys.audit, keys.operation(randomUUID())];
      return (await scripts.run({ lua: ACCEPTED, keys: touched, args: draftTexts(entries) })) === 1;
    },
    async spend(deployment, { max, perMs }) {
      await scripts.run({ lua: SPEND, keys: [keys.deployment(deployment)], args: [max, perMs] });
    },
    async spentPart(deployment, { max, perMs }) {
      const call = { lua: HELD, keys: [keys.deployment(deployment)], args: [max, perMs] };
      return Math.min(1, Math.max(0, 1 - Number(text(await scripts.run(call))) / max));
    },
    async lookedBy(deployment) {
      const [by, ageMs] = list(await scripts.run({ lua: LOOKED_BY, keys: [keys.deployment(deployment)], args: [] }));
      return (by === 'patch' || by === 'list') && integer(ageMs) < LOOKED_FOR_MS ? by : null;
    },
    async noteLookedBy(deployment, by) {
      await scripts.run({ lua: NOTE_LOOKED_BY, keys: [keys.deployment(deployment)], args: [by] });
    },
    async firstDomain(deployment, app, domain) {
      const call = { lua: FIRST_DOMAIN, keys: [keys.deployment(deployment)], args: [`domain:${app}`, domain] };
      return text(await scripts.run(call));
    },
    async listRest(deployment, app) {
      const call = { lua: LIST_REST, keys: [keys.deployment(deployment)], args: [`list_at:${app}`] };
      return integer(await scripts.run(call));
    },
    async noteList(deployment, app, ms) {
      const args = [`list_at:${app}`, Math.ceil(ms)];
      await scripts.run({ lua: NOTE_LIST, keys: [keys.deployment(deployment)], args });
    },
    async takePausedBefore(deployment) {
      const call = { lua: TAKE_PAUSED_BEFORE, keys: [keys.pausedBefore], args: [deployment] };
      return (await scripts.run(call)) === 1;
    },
    async deploymentStates(deployments) {
      const states = deployments.map(async (deployment) => [deployment, await stateOf(deployment)] as const);
      return new Map(await Promise.all(states));
    },
  };

  async function stateOf(deployment: string): Promise<DeploymentState> {
    const [seconds, microseconds] = await scripts.ask(() => redis.time());
    const now = integer(seconds) * 1000 + integer(microseconds) / 1000;
    const [why, paused, until] = await scripts.ask(() =>
      redis.hmget(keys.deployment(deployment), 'why', 'paused_by', 'until'),
    );
    const throttledUntil = Math.ceil(Number(until ?? 0));
    return {
      paused: paused == null ? null : (why ?? 'its API key is refused'),
      throttledUntil: throttledUntil > now ? throttledUntil : null,
    };
  }
}
