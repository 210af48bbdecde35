/** What reports of signers do to a record. A report can hold something back, or enroll its own client, and nothing else. */
import { signsWith } from './adoption.ts';
import { isRecent } from './hearing.ts';
import type { Context } from './policy.ts';
import type { ClientRecord } from './record.ts';
import type { Reported, SignerReport, Signers } from './signers.ts';
import { andThen, type Transition } from './transition.ts';

/** What reading the reports of all sinks came to. `error`: why some could not be read. */
export interface Hearing {
  readonly reports: readonly SignerReport[];
  readonly error: string | null;
}

/** That many are kept in the record. */
const MOST_KEPT = 64;

/** Takes in what signers report, as far as it is recent and about keys of this client. */
export function heard(record: ClientRecord, hearing: Hearing, context: Pick<Context, 'policy' | 'now'>): Transition {
  const signers = withReports(record, hearing, context.now);
  return andThen({ record: { ...record, signers }, entries: [] }, (next) =>
    enrolledBy(next, believed(record, hearing, context.now), context),
  );
}

/** Where reports could not be read, those from before count until they are old. */
export function withReports(record: ClientRecord, hearing: Hearing, now: number): Signers {
  const before = record.signers.reported?.signers ?? [];
  const fresh = believed(record, hearing, now);
  const { error } = hearing;
  const kept = error === null ? fresh : [...fresh, ...before.filter((old) => !fresh.some(isBy(old)))];
  return { ...record.signers, reported: { at: now, signers: kept.slice(0, MOST_KEPT), error } };
}

function believed(record: ClientRecord, { reports }: Hearing, now: number): readonly SignerReport[] {
  return reports.flatMap((report) => (isRecent(report, now) ? aboutOurs(record, report) : []));
}

function isBy({ name }: SignerReport) {
  return (other: SignerReport) => other.name === name;
}

/** Without kids that this client never had; nothing where no other is left. */
function aboutOurs({ keys, former }: ClientRecord, report: SignerReport): readonly SignerReport[] {
  const isOurs = (kid: string) => [...keys, ...former].some((key) => key.kid === kid);
  const kids = [...new Set(report.kids)].filter(isOurs);
  const signing = report.signing !== null && isOurs(report.signing) ? report.signing : null;
  return kids.length === 0 && signing === null ? [] : [{ ...report, kids, signing }];
}

/** A signer that signs with the imported key, or with one that is offered, and found it in its key folder, will find the next one there. */
function enrolledBy(
  record: ClientRecord,
  reports: readonly SignerReport[],
  context: Pick<Context, 'policy' | 'now'>,
): Transition {
  for (const { name, signing } of reports) {
    if (signing === null) continue;
    const reason = 'a signer reports that it signs with the key from its key folder';
    const change = signsWith(record, signing, { actor: `signer:${name}`, reason, request: null }, context);
    if (change.record !== record) return change;
  }
  return { record, entries: [] };
}

/** For how long, in ms, the reports in the store may be older than those that were heard. */
const KNOWN_MS = 60_000;

/** True when nothing but the time of the reports has changed: not worth a commit each time that somebody looks. */
export function isNoNews(before: ClientRecord, after: ClientRecord): boolean {
  const { reported: was, ...handed } = before.signers;
  const { reported: is, ...handedNow } = after.signers;
  if (was === undefined || is === undefined || is.at - was.at >= KNOWN_MS || said(was) !== said(is)) return false;
  return isSame(handed, handedNow) && isSame({ ...before, signers: null }, { ...after, signers: null });
}

/** The same parts, each the same object: a transition keeps what it does not change. */
function isSame(a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>): boolean {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((name) => a[name] === b[name]);
}

function said({ signers, error }: Reported): string {
  return JSON.stringify([signers.map(({ name, kids, signing }) => [name, kids, signing]), error]);
}
