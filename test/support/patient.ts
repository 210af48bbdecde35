import { until as untilInTime } from './until.ts';

/** In ms. */
const PATIENCE_MS = 30_000;

/** As the `until` of tests, with twice its patience: for processes that start, groups of servers that agree, and runs that break things. */
export const until: typeof untilInTime = (what, ask, timeoutMs = PATIENCE_MS) => untilInTime(what, ask, timeoutMs);
