/** The judge: reads history, store, server and key folders, and says what was broken. Shares no code with `src/`. */
import type { Emulator } from '../../emulator/server.ts';
import type { Evidence } from '../evidence/evidence.ts';
import { auditAgrees, auditIsKept, auditIsWhole } from './audit.ts';
import { callsAreKept, eventsAreTold } from './calls.ts';
import { refusedBeforeDestroyed } from './destruction.ts';
import { endsWell } from './ends.ts';
import { importsAreProven } from './imports.ts';
import { loginsSucceed } from './logins.ts';
import { nothingIsDoneWithoutTheStore } from './lost-store.ts';
import { pauseIsKept } from './pause.ts';
import { publishesSafely } from './publication.ts';
import { signersAreAwaited } from './readiness.ts';
import { rollbacksGoBack } from './rollback.ts';
import { schedulesAreHeldBack } from './schedules.ts';
import { sealHolds } from './seal.ts';
import { standbysAreKept } from './standby.ts';
import { storeIsFenced } from './store.ts';
import { throttleIsRespected } from './throttle.ts';
import { strangersAreLeftAlone } from './trust.ts';
import { wavesAreKept } from './waves.ts';
import { webhooksAreTold } from './webhooks.ts';
import { windowsAreKept } from './windows.ts';
import { workersStayUp } from './workers.ts';

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
  workersStayUp,
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
