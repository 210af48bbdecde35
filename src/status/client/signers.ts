/** What `status` says of signers: which keys they hold, and what a rotation waits for. */
import type { ClientRef } from '../../core/client.ts';
import { withReports } from '../../core/heard.ts';
import { isRecent } from '../../core/hearing.ts';
import { plan } from '../../core/plan.ts';
import type { ClientPolicy } from '../../core/policy.ts';
import type { ClientRecord } from '../../core/record.ts';
import { ripen } from '../../core/retirement.ts';
import { incomingKid } from '../../core/rotation.ts';
import { inParallel } from '../../parallel.ts';
import { hearSigners } from '../../rotation/hearing.ts';
import type { Resources } from '../../rotation/resources.ts';
import type { SignersStatus, WaitStatus } from '../model.ts';

/** Where more clients than this are shown, the reports of their signers are not read anew: what a worker heard last is shown. */
export const MOST_HEARD = 1_000;

/** Records with what their signers report now, where this machine has their folders. */
export async function heardNow(
  records: ReadonlyMap<ClientRef, ClientRecord>,
  now: number,
  { sinks }: Pick<Resources, 'sinks'>,
): Promise<ReadonlyMap<ClientRef, ClientRecord>> {
  const shown = new Map(records);
  await inParallel([...records], LANES, async ([ref, record]) => {
    const hearing = await hearSigners(ref, sinks);
    // A machine without the folder reads no report. A worker may have read some: they are in the record.
    if (hearing.reports.length === 0) return;
    // A report may also enroll the client. That is for workers to do.
    shown.set(ref, { ...record, signers: withReports(record, hearing, now) });
  });
  return shown;
}

const LANES = 16;

export function signersStatus({ signers, rotation }: ClientRecord, now: number): SignersStatus | null {
  const { reported } = signers;
  if (reported === undefined) return null;
  const next = incomingKid(rotation);
  const recent = reported.signers.filter((report) => isRecent(report, now));
  const missing = next === null ? [] : recent.filter(({ kids }) => !kids.includes(next));
  return {
    heard_at: new Date(reported.at).toISOString(),
    error: reported.error,
    reports: reported.signers.map(({ name, kids, signing, at }) => ({
      name,
      kids,
      signing,
      at: new Date(at).toISOString(),
      recent: isRecent({ at }, now),
    })),
    missing: missing.map(({ name }) => name),
  };
}

/** What the next step waits for; null when it is due, or nothing is left to do. */
export function waitStatus(record: ClientRecord, policy: ClientPolicy | null, now: number): WaitStatus | null {
  if (policy === null || (record.rotation === null && record.retirements.length === 0)) return null;
  const { reported } = record.signers;
  // As if signers had just been heard: otherwise the next step would be to hear them, and that is no wait.
  const fresh =
    reported === undefined ? record : { ...record, signers: { ...record.signers, reported: { ...reported, at: now } } };
  const action = plan(ripen(fresh, now), policy, now);
  return action.do === 'wait' ? { why: action.why, until: new Date(action.until).toISOString() } : null;
}
