/** Which services run, what each says of itself, and the wish that they all read their config again. */
import { BE_PRESENT, LEAVE, PRESENT, WISH_RELOAD } from './lua/presence.ts';
import { integer, list, text } from './redis/replies.ts';
import type { Scripts } from './redis/scripts.ts';

/** What came of reading the config again. */
export type ReloadOutcome =
  | { readonly kind: 'changed'; readonly changes: readonly string[] }
  | { readonly kind: 'unchanged' }
  /** The config from before goes on. */
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

/** What a service says of itself. */
export interface ServiceNote {
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  /** What matters of the config that it works by: see {@link ../config/digest.ts}. */
  readonly config: Readonly<Record<string, string>>;
  /** The newest wish that it has answered, and how; null: none since it started. */
  readonly reload: { readonly wish: string; readonly outcome: ReloadOutcome } | null;
  /** What keeps it from being ready, such as a config that cannot be used; null when nothing does. */
  readonly problem: string | null;
  /** Its own clock when it said so, in ms since the epoch; absent: an older version does not tell. */
  readonly clock?: number;
}

/** A note, and when the store got it, in ms since the epoch on its clock. */
export type HeardNote = ServiceNote & { readonly heardAt: number };

/** Read once by each service that runs, or comes back, after it was made. */
export interface ReloadWish {
  readonly id: string;
  readonly actor: string;
  /** Who was authenticated; absent: nobody was. */
  readonly claimed_by?: string;
  readonly reason: string;
}

export interface Presence {
  /** Has to be said again every few seconds. Resolves with the newest wish, null when nobody had one yet. */
  bePresent(service: string, note: ServiceNote): Promise<ReloadWish | null>;
  /** The service ends. */
  leave(service: string): Promise<void>;
  /** Those that said something in the last seconds, by name. */
  present(): Promise<ReadonlyMap<string, HeardNote>>;
  wishReload(wish: ReloadWish): Promise<void>;
}

export function openPresence(scripts: Scripts): Presence {
  const { keys } = scripts;
  return {
    async bePresent(service, note) {
      const call = { lua: BE_PRESENT, keys: [keys.presence, keys.reload], args: [service, JSON.stringify(note)] };
      const [id = '', actor = '', reason = '', claim = ''] = list(await scripts.run(call)).map(text);
      if (id === '') return null;
      // An earlier version that wishes leaves the claim of the wish before.
      const by = claim.startsWith(`${id} `) ? { claimed_by: claim.slice(id.length + 1) } : {};
      return { id, actor, ...by, reason };
    },
    async leave(service) {
      await scripts.run({ lua: LEAVE, keys: [keys.presence], args: [service] });
    },
    async present() {
      const found = list(await scripts.run({ lua: PRESENT, keys: [keys.presence], args: [] }));
      const notes = new Map<string, HeardNote>();
      for (let index = 0; index < found.length; index += 3) {
        const note: ServiceNote = JSON.parse(text(found[index + 1])); // only `bePresent` writes it
        notes.set(text(found[index]), { ...note, heardAt: integer(found[index + 2]) });
      }
      return notes;
    },
    async wishReload({ id, actor, claimed_by: by, reason }) {
      const args = [id, actor, reason, by === undefined ? '' : `${id} ${by}`];
      await scripts.run({ lua: WISH_RELOAD, keys: [keys.reload], args });
    },
  };
}
