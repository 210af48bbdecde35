/** Checks of the audit log: whether it is exported, and whether it grows. */
import type { Config } from '../../config/model.ts';
import { advice, type Check, fine, wrong } from '../../runtime/checks/check.ts';
import { auditLogStatus } from '../../status/fleet/audit-log.ts';
import type { Store } from '../../store/store.ts';

const UNDONE = 'Name a place to export to under audit.export, such as a folder that all workers share.';

export async function checkAuditLog(config: Config, store: Store): Promise<readonly Check[]> {
  const { first, last, bytes, most_bytes: most, exports } = await auditLogStatus({ config, store });
  const range = last < first ? 'no entries yet' : `entries ${first} to ${last}`;
  const size = `${range}, about ${mebibytes(bytes)} of ${mebibytes(most)}`;
  const isLarge = bytes > most;
  if (exports.length === 0) {
    const detail = `${size}: nothing is exported, so nothing is cut`;
    return [isLarge ? wrong('audit log', detail, UNDONE) : advice('audit log', detail, UNDONE)];
  }
  const grows = 'What is exported is cut within seconds: see whether an export fails, or the log is not sealed.';
  return [
    isLarge ? wrong('audit log', size, grows) : fine('audit log', size),
    ...exports.map(({ export: name, last: to, behind_seconds: behind, error, failing_since: since }) => {
      const about = `audit export ${name}`;
      if (error !== null) return wrong(about, `has failed since ${since}: ${error}`, FAILING);
      if (behind > LATE_S) return wrong(about, `is ${behind} s behind, at entry ${to}`, LATE);
      return fine(about, `has all entries up to number ${to}`);
    }),
  ];
}

/** An export that is behind by more than this, in s, does not go on. */
const LATE_S = 900;

const FAILING = 'Mend that: it goes on by itself. Rotations go on meanwhile, nothing is cut, and the log grows.';
const LATE = 'See whether a worker runs, and its log.';

function mebibytes(bytes: number): string {
  return `${Math.round((10 * bytes) / 1024 ** 2) / 10} MiB`;
}
