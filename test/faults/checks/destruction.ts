/** A key that was ever published is destroyed only after the server was seen to refuse it, under each name that it stood under. */
import type { LogEntry } from '../../emulator/log.ts';
import type { Evidence } from '../evidence/evidence.ts';
import type { FaultClient } from '../stage/fleet.ts';
import type { Check, Violation } from './checker.ts';
import { SAME_MS } from './clocks.ts';
import { carriesKeys, initialOf, keysIn, thumbprintOf } from './keys.ts';
import { PROOFS } from './sign-in.ts';

/** An answer that may be about the claims of the assertion, and not about its key, says enough the third time. */
const ENOUGH = 3;

export const refusedBeforeDestroyed: Check = (evidence) =>
  evidence.ends.flatMap(({ client }) => {
    if (client.app.policy.prove === 'read_back') return [];
    const releasedAt = evidence.events.find((event) => event.kind === 'released' && event.ref === client.ref)?.at;
    return evidence.events.flatMap((event) => {
      if (event.kind !== 'erased' || event.ref !== client.ref) return [];
      // Its owner has it, and it goes on being accepted.
      const isReleased = releasedAt !== undefined && event.at >= releasedAt;
      return isReleased ? [] : judgeErased(event.kid, event.at, client, evidence);
    });
  });

/** When a key was last published under each of its names, before `at`. */
function namesOf(key: string, at: number, client: FaultClient, { requests, events }: Evidence): Map<string, number> {
  const names = new Map<string, number>();
  const isInitial = key === initialOf(client);
  const { kid, otherNames } = client.initial;
  if (isInitial) for (const name of [kid, ...otherNames]) names.set(name, Number.NEGATIVE_INFINITY);
  for (const call of requests) {
    const { doneAt } = call;
    if (call.client !== client.id || !carriesKeys(call) || doneAt === undefined || doneAt > at + SAME_MS) continue;
    for (const jwk of keysIn(call.body)) {
      if (thumbprintOf(jwk) === key) names.set(nameOf(jwk.kid, client, key), doneAt);
    }
  }
  for (const event of events) {
    if (event.kind !== 'commit' || event.ref !== client.ref || event.at > at) continue;
    for (const draft of event.drafts) {
      const { type, data } = JSON.parse(draft);
      const name = isInitial ? client.initial.kid : key;
      if (type === 'key.publishing' && data.served === true && data.kids.includes(name)) names.set(name, event.at);
    }
  }
  return names;
}

/** A PEM stands without a name, and goes by the one that assertions have. */
function nameOf(kid: unknown, client: FaultClient, key: string): string {
  if (typeof kid === 'string') return kid;
  return key === initialOf(client) ? client.initial.kid : key;
}

function judgeErased(key: string, at: number, client: FaultClient, evidence: Evidence): Violation[] {
  const declaredAt = evidence.events.findLast((event) => event.kind === 'store' && event.what === 'declared')?.at;
  return [...namesOf(key, at, client, evidence)].flatMap(([name, since]) => {
    // What it was called beside its own name was known to the store that was lost.
    if (declaredAt !== undefined && since < declaredAt && client.initial.otherNames.includes(name)) return [];
    const asked = evidence.requests.filter(
      (call) =>
        call.clientId === client.clientId &&
        call.path === PROOFS &&
        call.presentedKid === name &&
        call.at >= since - SAME_MS &&
        call.at <= at + SAME_MS,
    );
    if (asked.some(isRefusedKey) || asked.filter(isRefused).length >= ENOUGH) return [];
    const message = `${key} was destroyed before the server refused it as ${name}`;
    return [{ rule: 'destroyed_unproven', ref: client.ref, message }];
  });
}

/** The server itself looked at the assertion, and turned it down. */
function isRefused({ verdict, status }: LogEntry): boolean {
  return verdict !== undefined && verdict !== 'accepted' && (status === 400 || status === 401);
}

function isRefusedKey(call: LogEntry): boolean {
  return isRefused(call) && call.verdict === 'invalid_request';
}
