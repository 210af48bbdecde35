/** `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): who asks again under the same key, within a day, is answered as the first time. */
import { hash, randomUUID } from 'node:crypto';
import type { OnceKey } from '../../jobs/claim.ts';
import type { Store } from '../store/store.ts';
import type { Principal } from './principal.ts';
import { ProblemError } from './problem.ts';

/** Printable ASCII, as many servers and proxies let through. */
export const KEY_PATTERN = '^[\\x21-\\x7e]{1,255}$';

export interface Once {
  /** Of what is begun under the key: the same each time. Once the key is free again, what is begun under it is another request. */
  readonly request: string;
  /** The worker that takes the request looks whether the key stands for it still. */
  readonly key: OnceKey;
  /** What was answered before; null: nothing yet. */
  readonly answer: unknown;
  /** It was asked before under this key, and that call may not have answered yet. */
  readonly isRepeated: boolean;
  /** What is answered by now; null: nothing yet. */
  answerNow(): Promise<unknown>;
  /** @returns the answer that counts: the first of those that were given at the same moment */
  keep(answer: object): Promise<unknown>;
}

/** The longest answer that is kept, in characters. After a longer one, the next call with the key asks for the same request, which finds the same rotations. */
const MOST_KEPT = 1 << 20;

/**
 * @param body as it was parsed: blanks and the order of members do not make it another one
 * @throws ProblemError 400 for a key that is none; 422 where the key stands for something else
 */
export async function onceFor(store: Store, principal: Principal, key: string, body: unknown): Promise<Once> {
  if (!new RegExp(KEY_PATTERN).test(key)) {
    throw new ProblemError(
      400,
      'Idempotency-Key is 1 to 255 printable ASCII characters without blanks, such as a UUID.',
    );
  }
  const name = hash('sha256', `${principal.key}\n${key}`, 'base64url');
  const wanted = hash('sha256', JSON.stringify(body), 'base64url');
  const ours = `http-${randomUUID()}`;
  const asked = await store.takeKey(name, { body: wanted, request: ours });
  if (asked.body !== wanted) {
    throw new ProblemError(
      422,
      'This Idempotency-Key was used within the last day to ask for something else. Take another key, or ask for the same.',
    );
  }
  const { request } = asked;
  async function answerNow(): Promise<unknown> {
    const answer = await store.keptAnswer(request);
    return answer === null ? null : JSON.parse(answer);
  }

  return {
    request,
    key: { name, body: wanted },
    answer: await answerNow(),
    isRepeated: request !== ours,
    answerNow,
    async keep(given) {
      const text = JSON.stringify(given);
      return text.length > MOST_KEPT ? given : JSON.parse(await store.keepAnswer(request, text));
    },
  };
}
