/** What a busy machine does to a test, made on purpose: a test that passes only without it rests on timing. See CONTRIBUTING.md. */

/** How much longer each wait of a test takes, in ms. */
export const LAG_MS = Number(process.env.REKEYD_TEST_LAG ?? 0);

/** How long a PATCH or a sign-in takes to reach the local Wacht, and its answer again, in ms. */
export const LATENCY_MS = Number(process.env.REKEYD_TEST_LATENCY ?? 0);
