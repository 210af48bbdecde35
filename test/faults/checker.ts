/** The judge: reads history, store, server and key folders, and says what was broken. Shares no code with `src/`. */
import type { Emulator } from '../emulator/server.ts';
import { auditAgrees, auditIsKept, auditIsWhole } from './checks/audit.ts';
import { callsAreKept, eventsAreTold } from './checks/calls.ts';
import { refusedBeforeDestroyed } from './checks/destruction.ts';
import { endsWell } from './checks/ends.ts';
import { importsAreProven } from './checks/imports.ts';
import { loginsSucceed } from './checks/logins.ts';
import { nothingIsDoneWithoutTheStore } from './checks/lost-store.ts';
import { pauseIsKept } from './checks/pause.ts';
import { publishesSafely } from './checks/publication.ts';
import { signersAreAwaited } from './checks/readiness.ts';
import { rollbacksGoBack } from './checks/rollback.ts';
import { schedulesAreHeldBack } from './checks/schedules.ts';
import { sealHolds } from './checks/seal.ts';
import { standbysAreKept } from './checks/standby.ts';
import { storeIsFenced } from './checks/store.ts';
import { throttleIsRespected } from './checks/throttle.ts';
import { strangersAreLeftAlone } from './checks/trust.ts';
import { wavesAreKept } from './checks/waves.ts';
import { webhooksAreTold } from './checks/webhooks.ts';
import { windowsAreKept } from './checks/windows.ts';
import type { Evidence } from './evidence.ts';

export interface Violation {
  /** Which promise; `lost_key` is the one that nothing mends. */
  readonly rule: string;
  readonly ref: string | null;
  readonly message: string;
}

export type Check = (evidence: Evidence) => readonly Violation[];

const CHECKS: readonly Check[] = [
  loginsSucceed,
  strangersAreLeftAlone,
  publishesSafely,
  refusedBeforeDestroyed,
  nothingIsDoneWithoutTheStore,
  storeIsFenced,
  auditIsWhole,
  auditIsKept,
  auditAgrees,
  sealHolds,
  throttleIsRespected,
  pauseIsKept,
  windowsAreKept,
  schedulesAreHeldBack,
  wavesAreKept,
  signersAreAwaited,
  importsAreProven,
  rollbacksGoBack,
  standbysAreKept,
  callsAreKept,
  eventsAreTold,
  webhooksAreTold,
];

/** What can be said of the history alone. */
export function judgeHistory(evidence: Evidence): readonly Violation[] {
  return CHECKS.flatMap((check) => check(evidence));
}

/** @param atRest false when the fleet never came to rest: then nothing is to be said of how it ended */
export async function judge(evidence: Evidence, emulator: Emulator, atRest: boolean): Promise<readonly Violation[]> {
  // Before the last logins: what the checker asks the server is not part of what happened.
  const found = judgeHistory(evidence);
  return !atRest ? found : [...found, ...(await endsWell(evidence, emulator))];
}
