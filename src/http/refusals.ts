/**
 * Calls that were refused: all are counted, some are logged, and some get an audit entry. A caller who is refused a million times must not fill the log or the
 * audit log, nor push out what others did there.
 */
import type { AuditDraft } from '../core/audit.ts';
import { messageOf } from '../errors.ts';
import { REFUSED_STATUSES } from '../metrics/metrics.ts';
import type { Log } from '../rotation/resources.ts';
import { monotonic } from '../time.ts';
import { ProblemError } from './problem.ts';

export interface Refused {
  readonly status: number;
  readonly detail: string;
  /** Who was authenticated; null: nobody was. */
  readonly claimedBy: string | null;
  readonly address: string;
  readonly method: string;
  /** Of the route, such as `/v1/rotations/{id}`. The URL may hold anything, a token too. */
  readonly path: string;
}

/** Null: the caller was not refused, whatever else went wrong. */
export function refusalIn(error: unknown): Pick<Refused, 'status' | 'detail'> | null {
  if (!(error instanceof ProblemError)) return null;
  const { status, detail } = error.problem;
  return REFUSED_STATUSES.includes(status) ? { status, detail } : null;
}

export interface RefusalsOptions {
  readonly log: Log;
  readonly append: (drafts: readonly AuditDraft[]) => Promise<unknown>;
  /** Told the status of each refused call. */
  readonly count: (status: number) => void;
  readonly now?: () => number;
}

/** After a log line about a caller, the next one about the same caller comes this much later at the earliest, in ms. It says how often the caller was refused meanwhile. */
const QUIET_MS = 60_000;

/** Audit entries about refusals of all callers together, within {@link HOUR_MS}. */
const MOST_AUDITED = 60;
const HOUR_MS = 3_600_000;

/** So many callers are told apart. All others share one place, `others`. */
const MOST_CALLERS = 256;
const OTHERS = 'others';

interface Caller {
  /** When the last log line about it was written. */
  toldAt: number;
  /** How often it was refused since then. */
  times: number;
}

/** @returns a function to call for each call that was refused */
export function openRefusals({ log, append, count, now = monotonic }: RefusalsOptions): (refused: Refused) => void {
  const callers = new Map<string, Caller>();
  let hourAt = now();
  let audited = 0;
  /** Refusals that no audit entry has counted yet. */
  let unsaid = 0;
  let forgotAt = now();

  function callerOf(name: string): Caller {
    forgetQuiet();
    const isFull = callers.size >= MOST_CALLERS - 1;
    const place = callers.has(name) || !isFull ? name : OTHERS;
    const caller = callers.get(place) ?? { toldAt: Number.NEGATIVE_INFINITY, times: 0 };
    callers.set(place, caller);
    return caller;
  }

  /** Callers that were last told of long ago make room for others. It is looked at once a minute, because a flood comes by here. */
  function forgetQuiet(): void {
    if (now() - forgotAt < QUIET_MS) return;
    forgotAt = now();
    for (const [name, { toldAt }] of callers) if (now() - toldAt > HOUR_MS) callers.delete(name);
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
