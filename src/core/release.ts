/** Handing a client's key back to its owner: rekeyd stops managing it. */
import { RekeydError } from '../errors.ts';
import type { Cause } from './history.ts';
import { activeKey, type ManagedKey, usesReportedKey } from './keys.ts';
import type { ClientRecord } from './record.ts';
import { newServerSide } from './server.ts';
import { NOTHING_DELIVERED } from './signers.ts';
import { entry, type Transition } from './transition.ts';
import { NO_TRIES } from './tries.ts';

/**
 * The key that goes back to its owner.
 * @throws RekeydError `under_way` while anything is: nobody would come back to finish it; `not_found` when no key is ours; `key_invalid` when the key in use was
 * reported as compromised: the alarm would end with the release
 */
export function releasableKey(record: ClientRecord): ManagedKey {
  const { ref, rotation, retirements, server, doubted } = record;
  if (rotation !== null) {
    throw underWay(
      `${ref}: rotation ${rotation.id} is under way, so it cannot be released. Release it when that has ended (\`rekeyd status ${ref}\`), or end it with \`rekeyd abandon ${ref}\`.`,
    );
  }
  const [old] = retirements;
  if (old !== undefined) {
    throw underWay(
      `${ref}: an old key is on its way out, and nobody would take it away after a release. Release the client when that key is gone (\`rekeyd status ${ref}\`).`,
    );
  }
  if (server.inFlight !== null || doubted) {
    throw underWay(`${ref}: it is not known yet what the server shows. Release the client when a worker has looked.`);
  }
  const active = activeKey(record);
  if (active === undefined) {
    throw new RekeydError(
      'not_found',
      `${ref} has no key of ours: there is nothing to hand over, and it is left alone.`,
    );
  }
  if (usesReportedKey(record)) {
    throw new RekeydError(
      'key_invalid',
      `${ref}: its key was reported as compromised and still signs in. Replace it first: \`rekeyd rotate ${ref} --compromised\`.`,
    );
  }
  return active;
}

function underWay(message: string): RekeydError {
  return new RekeydError('under_way', message);
}

/** The client as one that rekeyd only knows of: nothing is done to it, not even where a policy says `adopt: take_over`. Its keys are no longer managed. */
export function leftAlone(record: ClientRecord): ClientRecord {
  const { client, at } = record.server.observed;
  const { standby: _, ...known } = record;
  return {
    ...known,
    enrolment: 'found',
    keys: [],
    server: newServerSide(client, at),
    signers: { delivered: NOTHING_DELIVERED, tries: NO_TRIES },
    failure: null,
    halted: null,
    released: true,
  };
}

/**
 * The client is as one that was found, and no schedule touches it. Its key folder stays as it is: the application may read its key there.
 * @param to where the private key was written; null: it stays in the key folder alone
 * @throws RekeydError as {@link releasableKey}
 */
export function released(record: ClientRecord, cause: Cause, to: string | null): Transition {
  const { kid, alg } = releasableKey(record);
  const { drift: _, settled: __, restores: ___, ...next } = leftAlone(record);
  const data = { kid, alg, from: record.enrolment, file: to };
  return { record: next, entries: [entry(next, { id: null, ...cause }, 'client.released', data)] };
}
