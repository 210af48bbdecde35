/** What a busy machine does to a test, made on purpose: a test that passes only without it rests on timing. See CONTRIBUTING.md. */

/** How much longer each wait of a test takes, in ms. */
export const LAG_MS = Number(process.env.REKEYD_TEST_LAG ?? 0);

/** How long each request to the local Wacht takes to arrive, and its answer again, in ms. */
export const LATENCY_MS = Number(process.env.REKEYD_TEST_LATENCY ?? 0);
