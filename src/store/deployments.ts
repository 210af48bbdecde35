/** Deployments whose API key is refused: paused for every worker until somebody resumes them. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { AuditDraft } from '../core/audit.ts';
import { keys, operationKey } from './keys.ts';
import { PAUSE, RESUME } from './lua/log.ts';
import type { Scripts } from './redis/scripts.ts';

export interface Deployments {
  pausedDeployments(): Promise<Set<string>>;
  /** True when this call paused it. Only then are the entries written: of many workers that notice, one says so. */
  pause(deployment: string, entries: readonly AuditDraft[]): Promise<boolean>;
  /** True when this call resumed it; only then are the entries written. */
  resume(deployment: string, entries: readonly AuditDraft[]): Promise<boolean>;
}

export function openDeployments(redis: Redis, scripts: Scripts): Deployments {
  const drafts = (entries: readonly AuditDraft[]) => entries.map((entry) => JSON.stringify(entry));
  return {
    async pausedDeployments() {
      return new Set(await scripts.ask(() => redis.hkeys(keys.paused)));
    },
    async pause(deployment, entries) {
      const args = [deployment, randomUUID(), ...drafts(entries)];
      return (await scripts.run({ lua: PAUSE, keys: [keys.paused, keys.audit, keys.auditSize], args })) === 1;
    },
    async resume(deployment, entries) {
      const touched = [keys.paused, keys.audit, keys.auditSize, operationKey(randomUUID())];
      return (await scripts.run({ lua: RESUME, keys: touched, args: [deployment, ...drafts(entries)] })) === 1;
    },
  };
}
