/**
 * Calls that were refused: all are counted, some are logged and some stand in the audit log. Somebody who is refused a million times must not fill either,
 * nor push out what others did there.
 */
import type { AuditDraft } from '../core/audit.ts';
import { messageOf } from '../errors.ts';
import type { Log } from '../rotation/resources.ts';
import { monotonic } from '../time.ts';
import { ProblemError } from './problem.ts';

export interface Refused {
  readonly status: number;
  readonly detail: string;
  /** Null: nobody that is known. */
  readonly claimedBy: string | null;
  readonly address: string;
  readonly method: string;
  /** The route, not the URL: that may hold anything. */
  readonly path: string;
}

const REFUSED: readonly number[] = [401, 403, 429];

/** Null: the caller was not refused, whatever else went wrong. */
export function refusalIn(error: unknown): Pick<Refused, 'status' | 'detail'> | null {
  if (!(error instanceof ProblemError)) return null;
  const { status, detail } = error.problem;
  return REFUSED.includes(status) ? { status, detail } : null;
}

export interface RefusalsOptions {
  readonly log: Log;
  readonly append: (drafts: readonly AuditDraft[]) => Promise<unknown>;
  /** Told the status of each refused call. */
  readonly count: (status: number) => void;
  readonly now?: () => number;
}

/** The same caller is told of again after so long, in ms, with how often it was refused meanwhile. */
const QUIET_MS = 60_000;

/** So many entries in the audit log within {@link HOUR_MS}, of all callers together. */
const MOST_AUDITED = 60;
const HOUR_MS = 3_600_000;

/** So many callers are told apart; those beyond are told of as one. */
const MOST_CALLERS = 256;
const OTHERS = 'others';

interface Caller {
  toldAt: number;
  /** Refused since it was told of. */
  times: number;
}

/** To be told of each call that was refused. */
export function openRefusals({ log, append, count, now = monotonic }: RefusalsOptions): (refused: Refused) => void {
  const callers = new Map<string, Caller>();
  let hourAt = now();
  let audited = 0;
  let unsaid = 0;

  function callerOf(name: string): Caller {
    const known = callers.get(name) ?? (callers.size < MOST_CALLERS ? undefined : callers.get(OTHERS));
    if (known !== undefined) return known;
    for (const [other, { toldAt }] of callers) if (now() - toldAt > HOUR_MS) callers.delete(other);
    const made = { toldAt: Number.NEGATIVE_INFINITY, times: 0 };
    callers.set(callers.size < MOST_CALLERS - 1 ? name : OTHERS, made);
    return made;
  }

  function audit({ status, detail, claimedBy, address, method, path }: Refused, times: number): void {
    if (now() - hourAt >= HOUR_MS) [hourAt, audited] = [now(), 0];
    unsaid += times;
    if (audited >= MOST_AUDITED) return;
    audited += 1;
    const data = { status, method, path, address, times: unsaid };
    unsaid = 0;
    const by = claimedBy === null ? {} : { claimed_by: claimedBy };
    const draft = {
      type: 'api.refused',
      client: null,
      rotation: null,
      actor: claimedBy ?? address,
      reason: detail,
    } as const;
    append([{ ...draft, ...by, data }]).catch((error: unknown) =>
      log.warn({ error: messageOf(error) }, 'a refused call could not be written to the audit log'),
    );
  }

  return (refused) => {
    const { status, detail, claimedBy, address, method, path } = refused;
    count(status);
    const caller = callerOf(`${status} ${claimedBy ?? address}`);
    caller.times += 1;
    if (now() - caller.toldAt < QUIET_MS) return;
    const { times } = caller;
    [caller.toldAt, caller.times] = [now(), 0];
    log.warn({ status, claimed_by: claimedBy, address, method, path, times }, `a call was refused: ${detail}`);
    audit(refused, times);
  };
}
