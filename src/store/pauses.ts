/** Pauses by people, in one hash: its field is the scope, so that one look answers for a client, its app, its policy and the fleet. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { AuditDraft } from '../core/audit.ts';
import { type Pause, type Scope, scopeName } from '../core/pause.ts';
import { draftTexts } from './audit-log.ts';
import { BEGIN_PAUSE, END_PAUSE } from './lua/pauses.ts';
import type { Scripts } from './redis/scripts.ts';

export interface Pauses {
  /** All of them, also those that are over and not yet removed. */
  pauses(): Promise<readonly Pause[]>;
  /** Those of these scopes, likewise. */
  pausesOf(scopes: readonly Scope[]): Promise<readonly Pause[]>;
  /**
   * On disk when it resolves. One of the same scope is replaced.
   * @param op id of the operation: within a day a second call with the same id does nothing. Absent: a new id
   * @throws RekeydError `not_durable`
   */
  beginPause(pause: Pause, entries: readonly AuditDraft[], op?: string): Promise<void>;
  /**
   * Ends the pause of that scope; true when there was one. The entries are written only then.
   * @param only this one, and not another that has taken its place
   * @throws RekeydError `not_durable`
   */
  endPause(scope: Scope, entries: readonly AuditDraft[], only?: Pause): Promise<boolean>;
}

export function openPauses(redis: Redis, scripts: Scripts): Pauses {
  const { keys } = scripts;
  const touched = (op: string = randomUUID()) => [keys.pauses, keys.audit, keys.operation(op)];
  return {
    async pauses() {
      return Object.values(await scripts.ask(() => redis.hgetall(keys.pauses))).map(parsePause);
    },
    async pausesOf(scopes) {
      const found = await scripts.ask(() => redis.hmget(keys.pauses, ...scopes.map(scopeName)));
      return found.flatMap((text) => (text === null ? [] : [parsePause(text)]));
    },
    async beginPause(pause, entries, op) {
      const args = [scopeName(pause.scope), JSON.stringify(pause), ...draftTexts(entries)];
      await scripts.runDurably({ lua: BEGIN_PAUSE, keys: touched(op), args });
    },
    async endPause(scope, entries, only) {
      const args = [scopeName(scope), only === undefined ? '' : JSON.stringify(only), ...draftTexts(entries)];
      return (await scripts.runDurably({ lua: END_PAUSE, keys: touched(), args })) === 1;
    },
  };
}

function parsePause(text: string): Pause {
  return JSON.parse(text); // only `beginPause` writes it
}
