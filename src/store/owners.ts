/** The owners of keys: which clients have, had or show a key with a certain mark ({@link ../keys/key-marks.ts}). */
import type { Redis } from 'ioredis';
import { type ClientRef, parseReference } from '../core/client.ts';
import { marksOf } from '../keys/key-marks.ts';
import { NOTE_OWNER, OWNERS_NOTED } from './lua/records.ts';
import type { Loaded } from './records.ts';
import type { Scripts } from './redis/scripts.ts';

export interface Owners {
  /**
   * Clients with a key of this mark, in alphabetical order. One question, which costs the same however many clients are known.
   * @param limit how many at most: one key may be that of many clients
   */
  ownersOf(mark: string, limit: number): Promise<ClientRef[]>;
  /** False for a store with records that an older version wrote, and that nobody noted since: {@link Owners.ownersOf} does not find them. */
  areOwnersNoted(): Promise<boolean>;
  /** Notes the keys of a record that an older version committed. False when another commit came in between: that one did it. */
  noteOwner(loaded: Pick<Loaded, 'record' | 'op'>): Promise<boolean>;
  /** The keys of every record are noted. */
  confirmOwnersNoted(): Promise<void>;
}

/** Another form of the marks gets another number: all records are then noted anew. */
const FORM = '1';

export function openOwners(redis: Redis, scripts: Scripts): Owners {
  const { keys } = scripts;
  return {
    async ownersOf(mark, limit) {
      // All members of a mark begin with it and a blank, and `!` is the character after a blank.
      const range = () => redis.zrangebylex(keys.owners, `[${mark} `, `(${mark}!`, 'LIMIT', 0, limit);
      return (await scripts.ask(range)).map((member) => parseReference(member.slice(mark.length + 1)));
    },
    areOwnersNoted: async () => (await scripts.ask(() => redis.get(keys.ownersNoted))) === FORM,
    async noteOwner({ record, op }) {
      const call = {
        lua: NOTE_OWNER,
        keys: [keys.record(record.ref), keys.owners],
        args: [op, record.ref, marksOf(record)],
      };
      return (await scripts.run(call)) === 1;
    },
    async confirmOwnersNoted() {
      await scripts.run({ lua: OWNERS_NOTED, keys: [keys.ownersNoted], args: [FORM] });
    },
  };
}
