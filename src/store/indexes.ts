/** Which clients are known, what their servers last showed, which are due, and which have unfinished work. */
import type { Redis } from 'ioredis';
import { type ClientRef, parseReference } from '../core/client.ts';
import { pagesOf } from '../parallel.ts';
import { NOTE_POLICIES, SET_DUE } from './lua/records.ts';
import type { Scripts } from './redis/scripts.ts';

export interface Indexes {
  /** Every known client, in alphabetical order. */
  clientRefs(): Promise<ClientRef[]>;
  /** Up to `limit` known clients in alphabetical order, from after `last` on; null: from the first. */
  refsAfter(last: string | null, limit: number): Promise<ClientRef[]>;
  clientCount(): Promise<number>;
  /** How many clients are known, and how many of them are found or held. */
  enrolmentCounts(): Promise<{ readonly clients: number; readonly found: number; readonly held: number }>;
  /** Every app that clients are known of, as `deployment/slug`. One question for each, however many clients it has. */
  apps(): Promise<string[]>;
  /** Notes by which policies the clients of an app go, in order, and answers what was noted before; null when nothing was. */
  notePolicies(app: string, names: readonly string[]): Promise<readonly string[] | null>;
  /** Clients with an imported key that their application was not seen to take from us, in alphabetical order. */
  heldRefs(): Promise<ClientRef[]>;
  /** Those of these clients that are found: their active keys are not ours. */
  foundAmong(refs: readonly ClientRef[]): Promise<readonly ClientRef[]>;
  /** Found clients that are offered a key of ours, in alphabetical order. */
  offeredRefs(): Promise<ClientRef[]>;
  /** How many clients of an app are known; `app` is `deployment/slug`. */
  appCount(app: string): Promise<number>;
  /** Up to `limit` known clients of an app in alphabetical order, from after `last` on; null: from the first. */
  appRefs(app: string, limit: number, last: ClientRef | null): Promise<ClientRef[]>;
  /** For each of these clients what `seen` was with its last commit; null for one that is not known. Meant for pages, not for a fleet. */
  seen(refs: readonly ClientRef[]): Promise<(string | null)[]>;
  /** Clients due at `now` (ms since the Unix epoch), the longest due first. */
  due(now: number, limit: number, offset?: number): Promise<ClientRef[]>;
  /** Moves when a client is due, outside a commit: the policy changed, not the client. Null removes. */
  setDue(ref: ClientRef, at: number | null): Promise<void>;
  openWork(): Promise<ClientRef[]>;
}

export function openIndexes(redis: Redis, scripts: Scripts): Indexes {
  const { keys } = scripts;
  async function references(command: () => Promise<string[]>): Promise<ClientRef[]> {
    return (await scripts.ask(command)).map(parseReference);
  }

  return {
    clientRefs: () => references(() => redis.zrange(keys.clients, '0', '-1')),
    refsAfter: (last, limit) =>
      references(() => redis.zrangebylex(keys.clients, last === null ? '-' : `(${last}`, '+', 'LIMIT', 0, limit)),
    clientCount: () => scripts.ask(() => redis.zcard(keys.clients)),
    async enrolmentCounts() {
      const [clients, found, held] = await Promise.all([
        scripts.ask(() => redis.zcard(keys.clients)),
        scripts.ask(() => redis.scard(keys.found)),
        scripts.ask(() => redis.scard(keys.held)),
      ]);
      return { clients, found, held };
    },
    async apps() {
      const found: string[] = [];
      for (let from = '-'; ; from = `[${endOf(found.at(-1) ?? '')}`) {
        const next = from;
        const [ref] = await references(() => redis.zrangebylex(keys.clients, next, '+', 'LIMIT', 0, 1));
        if (ref === undefined) return found;
        found.push(ref.slice(0, ref.lastIndexOf('/')));
      }
    },
    async notePolicies(app, names) {
      const args = [app, JSON.stringify(names)];
      const before = await scripts.run({ lua: NOTE_POLICIES, keys: [keys.policies], args });
      return typeof before === 'string' ? JSON.parse(before) : null; // as it was written here
    },
    heldRefs: async () => (await references(() => redis.smembers(keys.held))).sort(),
    async foundAmong(refs) {
      const found: ClientRef[] = [];
      for (const page of pagesOf(refs)) {
        const among = await scripts.ask(() => redis.smismember(keys.found, ...page));
        found.push(...page.filter((_, index) => among[index] === 1));
      }
      return found;
    },
    offeredRefs: async () => (await references(() => redis.smembers(keys.offered))).sort(),
    appCount: (app) => scripts.ask(() => redis.zlexcount(keys.clients, `[${app}/`, `(${endOf(app)}`)),
    appRefs: (app, limit, last) =>
      references(() => {
        const from = last === null ? `[${app}/` : `(${last}`;
        return redis.zrangebylex(keys.clients, from, `(${endOf(app)}`, 'LIMIT', 0, limit);
      }),
    async seen(refs) {
      return refs.length === 0 ? [] : scripts.ask(() => redis.hmget(keys.seen, ...refs));
    },
    due: (now, limit, offset = 0) =>
      references(() => redis.zrangebyscore(keys.due, '-inf', now, 'LIMIT', offset, limit)),
    async setDue(ref, at) {
      await scripts.run({ lua: SET_DUE, keys: [keys.due], args: [ref, at ?? ''] });
    },
    openWork: () => references(() => redis.smembers(keys.open)),
  };
}

/** The first text after all that start with `app/`: `0` comes right after `/`. */
function endOf(app: string): string {
  return `${app}0`;
}
