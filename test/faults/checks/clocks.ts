/** Redis' time has microseconds, the server's and the audit log's are cut off to milliseconds. */
export const SAME_MS = 2;
