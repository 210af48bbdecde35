/** The tokens of the HTTP API, as one signed text: a list that somebody without a KEK cut or copied does not verify. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { AuditDraft } from '../core/audit.ts';
import { draftTexts } from './audit-log.ts';
import { REPLACE_TOKENS } from './lua/tokens.ts';
import type { Scripts } from './redis/scripts.ts';

export interface Tokens {
  /** Null: there never were any. */
  signedTokens(): Promise<string | null>;
  /**
   * On disk when it resolves. False: another list is there than `before` by now, and nothing was changed or written to the audit log.
   * @throws RekeydError `not_durable`
   */
  replaceTokens(before: string | null, after: string, entries: readonly AuditDraft[]): Promise<boolean>;
}

export function openTokens(redis: Redis, scripts: Scripts): Tokens {
  const { keys } = scripts;
  return {
    signedTokens: () => scripts.ask(() => redis.get(keys.tokens)),
    async replaceTokens(before, after, entries) {
      const args = [before ?? '', after, ...draftTexts(entries)];
      const touched = [keys.tokens, keys.audit, keys.operation(randomUUID())];
      return (await scripts.runDurably({ lua: REPLACE_TOKENS, keys: touched, args })) === 1;
    },
  };
}
