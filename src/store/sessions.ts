/** Sessions of the page: a signed text for each, under the hash of its id. {@link ../http/page/session/session.ts} checks the signature. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { AuditDraft } from '../core/audit.ts';
import { draftTexts } from './audit-log.ts';
import { BEGIN_SESSION, END_SESSION, KEEP_TEXT } from './lua/sessions.ts';
import type { Scripts } from './redis/scripts.ts';

/** A session by the hash of its id, and the token that it belongs to by the hash of its value. */
export interface SessionName {
  readonly session: string;
  readonly token: string;
}

export interface Sessions {
  /** Null: there is none, or it has ended. */
  signedSession(session: string): Promise<string | null>;
  /**
   * On disk when it resolves. Of a token with more than `most` sessions the oldest end.
   * @param life how long it lasts, and how many a token may have
   * @throws RekeydError `not_durable`
   */
  beginSession(
    name: SessionName,
    signed: string,
    life: { readonly ms: number; readonly most: number },
    entries: readonly AuditDraft[],
  ): Promise<void>;
  /** On disk when it resolves. False: there was none, and nothing is written. @throws RekeydError `not_durable` */
  endSession(name: SessionName, entries: readonly AuditDraft[]): Promise<boolean>;
  /**
   * Keeps a text with a session. It may be lost with Redis: a visitor who finds it gone fills in the form again.
   * @param session its hash
   * @param life how long all texts of the session are kept from now on, and how many: the oldest go
   */
  keepText(session: string, text: string, life: { readonly ms: number; readonly most: number }): Promise<void>;
  /** Newest first. */
  keptTexts(session: string): Promise<readonly string[]>;
}

export function openSessions(redis: Redis, scripts: Scripts): Sessions {
  const { keys } = scripts;
  const touched = ({ session, token }: SessionName) => {
    return [keys.session(session), keys.sessions(token), keys.audit, keys.operation(randomUUID())];
  };
  return {
    signedSession: (session) => scripts.ask(() => redis.get(keys.session(session))),
    async beginSession(name, signed, { ms, most }, entries) {
      // Two that begin at the same moment may exceed `most`. The next one that begins ends the surplus.
      const oldest = await scripts.ask(() => redis.zrange(keys.sessions(name.token), '0', String(-most)));
      const args = [signed, name.session, ms, oldest.join(' '), ...draftTexts(entries)];
      await scripts.runDurably({
        lua: BEGIN_SESSION,
        keys: [...touched(name), ...oldest.map((one) => keys.session(one))],
        args,
      });
    },
    async endSession(name, entries) {
      const args = [name.session, ...draftTexts(entries)];
      return (await scripts.runDurably({ lua: END_SESSION, keys: touched(name), args })) === 1;
    },
    async keepText(session, text, { ms, most }) {
      await scripts.run({ lua: KEEP_TEXT, keys: [keys.sessionTexts(session)], args: [text, ms, most] });
    },
    keptTexts: (session) => scripts.ask(() => redis.lrange(keys.sessionTexts(session), 0, -1)),
  };
}
