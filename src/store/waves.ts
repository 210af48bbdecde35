/** The waves of the policies: one place for all workers, so that a wave begins once, is counted once and survives a restart. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { AuditDraft } from '../core/audit.ts';
import { type ClientRef, parseReference } from '../core/client.ts';
import type { Wave, WaveRef } from '../core/wave.ts';
import { draftTexts } from './audit-log.ts';
import { BEGIN_WAVE, CHOOSE, END_WAVE, FOLLOW, LEAVE_WAVE, RESUME_WAVE, STOP_WAVE, WAVE } from './lua/waves.ts';
import { integer, list, text } from './redis/replies.ts';
import type { Scripts } from './redis/scripts.ts';

export interface Waves {
  /** The wave of a policy, and the store's clock; null while there is none. */
  wave(policy: string): Promise<{ readonly wave: Wave; readonly now: number } | null>;
  /** Durable. Where the policy has a wave already, that one stays. */
  beginWave(wave: WaveRef, size: { readonly found: number; readonly first: number }): Promise<void>;
  /** Adds clients to the cohort, as far as it has room. Meant for pages. Resolves with how many the cohort has then. */
  chooseFirst(wave: WaveRef, clients: readonly ClientRef[]): Promise<number>;
  /** The clients of the cohort with a rotation that has not ended. */
  waitingFirst(policy: string): Promise<readonly ClientRef[]>;
  /** The clients with a rotation that failed. */
  failedOf(policy: string): Promise<readonly ClientRef[]>;
  /** Nothing is to be learned of these clients of the cohort: they are not waited for. */
  leaveWave(wave: WaveRef, clients: readonly ClientRef[]): Promise<void>;
  /** From now on the rest is begun. False when the wave was stopped, or is gone. */
  follow(wave: WaveRef): Promise<boolean>;
  /** Durable. True when this call stopped it; only then are the entries written. */
  stopWave(wave: WaveRef, why: string, entries: readonly AuditDraft[]): Promise<boolean>;
  /** Durable: the rest of a stopped wave is begun. False when it was not stopped; then nothing is written. */
  resumeWave(policy: string, entries: readonly AuditDraft[]): Promise<boolean>;
  /** All of it is begun: the next sweep begins another one. A wave that was stopped meanwhile stays. */
  endWave(wave: WaveRef): Promise<void>;
}

export function openWaves(redis: Redis, scripts: Scripts): Waves {
  const { keys } = scripts;

  async function members(key: string): Promise<readonly ClientRef[]> {
    return (await scripts.ask(() => redis.smembers(key))).sort().map(parseReference);
  }

  return {
    async wave(policy) {
      const { wave, cohort, waiting, failed } = keys.wave(policy);
      const reply = await scripts.run({ lua: WAVE, keys: [wave, cohort, waiting, failed], args: [] });
      return reply === null ? null : parseWave(list(reply));
    },
    async beginWave({ policy, id }, { found, first }) {
      const { wave, cohort, waiting, failed } = keys.wave(policy);
      await scripts.runDurably({
        lua: BEGIN_WAVE,
        keys: [wave, cohort, waiting, failed],
        args: [id, found, first],
      });
    },
    async chooseFirst({ policy, id }, clients) {
      const { wave, cohort, waiting } = keys.wave(policy);
      return integer(await scripts.run({ lua: CHOOSE, keys: [wave, cohort, waiting], args: [id, ...clients] }));
    },
    waitingFirst: (policy) => members(keys.wave(policy).waiting),
    failedOf: (policy) => members(keys.wave(policy).failed),
    async leaveWave({ policy, id }, clients) {
      const { wave, waiting } = keys.wave(policy);
      await scripts.run({ lua: LEAVE_WAVE, keys: [wave, waiting], args: [id, ...clients] });
    },
    async follow({ policy, id }) {
      return (await scripts.run({ lua: FOLLOW, keys: [keys.wave(policy).wave], args: [id] })) === 1;
    },
    async stopWave({ policy, id }, why, entries) {
      const args = [randomUUID(), id, why, ...draftTexts(entries)];
      return (await scripts.runDurably({ lua: STOP_WAVE, keys: [keys.wave(policy).wave, keys.audit], args })) === 1;
    },
    async resumeWave(policy, entries) {
      const { wave, failed } = keys.wave(policy);
      const args = [randomUUID(), ...draftTexts(entries)];
      return (await scripts.runDurably({ lua: RESUME_WAVE, keys: [wave, failed, keys.audit], args })) === 1;
    },
    async endWave({ policy, id }) {
      const { wave, cohort, waiting, failed } = keys.wave(policy);
      await scripts.run({ lua: END_WAVE, keys: [wave, cohort, waiting, failed], args: [id] });
    },
  };
}

function parseWave(reply: readonly unknown[]): { readonly wave: Wave; readonly now: number } {
  const [id, phase, at, found, first, chosen, waiting, active, failed, forgiven, why, now] = reply;
  const wave: Wave = {
    id: text(id),
    phase: text(phase) as Wave['phase'], // only the scripts write it
    startedAt: integer(at),
    found: integer(found),
    first: integer(first),
    chosen: integer(chosen),
    waiting: integer(waiting),
    active: integer(active),
    failed: integer(failed),
    forgiven: integer(forgiven),
    why: text(why) === '' ? null : text(why),
  };
  return { wave, now: integer(now) };
}
