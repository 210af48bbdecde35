/** Who may read what rekeyd writes for others. */

/** Numeric ids; null: what the process itself has. */
export interface Ids {
  readonly owner: number | null;
  readonly group: number | null;
}

export interface Access extends Ids {
  /** Of files, whatever the umask. */
  readonly mode: number;
  /** Of folders, whatever the umask. */
  readonly dirMode: number;
}

export const OWN: Ids = { owner: null, group: null };

/** For the user of this process alone. */
export const PRIVATE: Access = { ...OWN, mode: 0o600, dirMode: 0o700 };

/** Folders always belong to rekeyd: their owner can replace what is in them. Only their group is given away. */
export function folderIds({ group }: Ids): Ids {
  return { owner: null, group };
}

/**
 * The folder that signers write their reports to. A signer of the group may write there, and remove only what is its own (the sticky bit). Reports hold no
 * secrets, and rekeyd has to read those of another user.
 */
export function reportsAccess({ owner, group }: Ids): Ids & { readonly mode: number } {
  const own = owner === null ? 0o700 : 0o755;
  return { owner, group, mode: group === null ? own : own | 0o1070 };
}

/** The system does not let this process give files to that user or group. */
export class NotGiven extends Error {
  /** For the hint that follows it; see `HINTS` of the sink. */
  readonly code: 'OWNER' | 'GROUP';

  constructor(path: string, { owner, group }: Ids, why: string) {
    super(`${path} cannot be given to ${owner === null ? `group ${group}` : `user ${owner}`} (${why})`);
    this.code = owner === null ? 'GROUP' : 'OWNER';
  }
}
