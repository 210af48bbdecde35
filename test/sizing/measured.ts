/** What the benchmark measured, for the table of docs/sizing.md. After a change: `npm exec -- node test/sizing/main.ts`. */
export const MEASURED = {
  /** Of one worker on two cores that it shared with Redis and the server, with ES256: P1-always of `npm run bench`, `rekeyd_per_s`. */
  rotationsPerSecond: 80,
  /** ES256, as large as a client gets: P10, `client_bytes_after_12`, and 38 times `history_bytes_per_rotation`. */
  bytesPerClient: 41_400,
  /** P10, `audit_bytes_per_rotation`. */
  auditBytesPerRotation: 6_200,
} as const;
