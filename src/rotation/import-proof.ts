/** A key is imported once somebody is seen to sign in with it. */
import { type ClientRef, splitReference } from '../core/client.ts';
import type { ObservedClient } from '../core/document.ts';
import type { Verdict } from '../core/proof.ts';
import { messageOf, RekeydError } from '../errors.ts';
import type { FreshKey } from '../keys/generate.ts';
import { monotonic, sleep } from '../time.ts';
import { ApiError } from '../wacht/api-error.ts';
import { throttledMs } from './deployment.ts';
import type { Resources } from './resources.ts';

/** How often an issuer that does not answer, or asks to be left alone, is asked; and the shortest rest in between, in ms. */
const TRIES = 3;
const AGAIN_MS = 250;

/** @throws RekeydError `key_refused`, `key_unproven`, `not_found` (the app has no domain), `issuer_changed` */
export async function proveImport(
  resources: Resources,
  ref: ClientRef,
  client: ObservedClient,
  key: FreshKey,
  kid: string,
  signal: AbortSignal,
): Promise<void> {
  const { app } = splitReference(ref);
  const deployment = resources.deploymentOf(ref);
  const issuer = await issuerOf(resources, ref);
  for (let tries = 1; ; tries += 1) {
    const request = {
      issuer,
      clientId: client.clientId,
      alg: key.alg,
      kid,
      privateKey: key.privateKey.keyObject(),
      nowMs: resources.clock.now(),
    };
    const verdict = await deployment.proverOf(app).prove(request, signal);
    if (verdict.verdict === 'accepted') {
      deployment.answered.set(app, monotonic());
      return;
    }
    if (verdict.verdict === 'refused') {
      // A domain that is not the app's any more refuses everybody.
      await deployment.issuers.confirm(app);
      throw refused(ref, verdict, key);
    }
    if (tries === TRIES || signal.aborted) throw unproven(ref, issuer, verdict.message);
    const ms = verdict.verdict === 'throttled' ? throttledMs(deployment, verdict.retryAfterMs) : AGAIN_MS * tries;
    await sleep(ms, signal);
  }
}

async function issuerOf(resources: Resources, ref: ClientRef): Promise<string> {
  const { app } = splitReference(ref);
  try {
    return await resources.deploymentOf(ref).issuers.of(app);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    throw unproven(ref, 'its issuer', messageOf(error));
  }
}

function refused(ref: ClientRef, verdict: Extract<Verdict, { verdict: 'refused' }>, { alg }: FreshKey): RekeydError {
  const { status, message, claims } = verdict;
  const what = `The server refuses sign-ins of ${ref} with this key and ${alg} (${status}): ${message}. Nothing was imported.`;
  const ways = claims
    ? 'Its words are about the client or the time, and not about the key: check the issuer in the config and the clocks (`rekeyd doctor`), then try again.'
    : `If the application signs in with another key, import that one. If it cannot sign in at all, the client is registered in a way that the server does not take (without a PEM, or with another alg): correct that, or let rekeyd replace the key (\`rekeyd rotate ${ref} --take-over\`).`;
  return new RekeydError('key_refused', `${what} ${ways}`);
}

function unproven(ref: ClientRef, issuer: string, message: string): RekeydError {
  return new RekeydError(
    'key_unproven',
    `It could not be found out whether ${ref} signs in with this key: ${issuer} gives no answer that says so (${message}). Nothing was imported. Try again when it answers. Where it can never be reached from here, --unproven imports the key without a proof.`,
  );
}
