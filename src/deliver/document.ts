/** A set as one JSON document, for sinks that are no folder. */
import type { Delivery } from '../core/signers.ts';
import { keySetTexts } from './key-set.ts';
import type { SinkContents } from './sink.ts';

/** It holds private keys: the caller clears it. */
export function setDocument(contents: SinkContents): Buffer<ArrayBuffer> {
  const { ref, clientId, issuer, alg, updatedAt, epoch } = contents;
  const text = JSON.stringify({
    ...{ v: 1, client: ref, client_id: clientId, issuer, alg, ...kidsOf(contents) },
    ...{ updated_at: new Date(updatedAt).toISOString(), epoch, files: keySetTexts(contents) },
  });
  const bytes = Buffer.alloc(Buffer.byteLength(text));
  bytes.write(text);
  return bytes;
}

export function kidsOf({ current, next, previous }: SinkContents): Delivery {
  return { current: current?.kid ?? null, next: next?.kid ?? null, previous: previous?.kid ?? null };
}
