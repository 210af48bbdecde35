/** One try to deliver an event. */
import type { LookupFunction } from 'node:net';
import packageFile from '../../package.json' with { type: 'json' };
import type { WebhookConfig } from '../config/telling.ts';
import type { RekeydEvent } from '../core/event.ts';
import { wishedWaitMs } from '../core/wish.ts';
import { type Exchanged, exchange } from '../net/exchange.ts';
import { openPool } from '../net/pool.ts';
import { publicOnly } from '../net/public-only.ts';
import { bodyOf } from './format.ts';
import { signed } from './sign.ts';

export type Sent =
  | { readonly kind: 'delivered' }
  /** 410: the receiver wants nothing more. */
  | { readonly kind: 'gone'; readonly why: string }
  /** `wishedMs`: for how long the receiver asks to be left alone; null: it does not. */
  | { readonly kind: 'failed'; readonly why: string; readonly wishedMs: number | null };

export interface Sender {
  /** Never rejects. `why` says nothing of the URL, which may be a secret. @param id see {@link ./format.ts#bodyOf} */
  send(event: RekeydEvent, id: string, signal: AbortSignal): Promise<Sent>;
  close(): Promise<void>;
}

export interface SenderOptions {
  /** ms since the epoch */
  readonly now: () => number;
  /** Looks host names up; the system's when absent. */
  readonly lookup?: LookupFunction | undefined;
}

/** Of an answer, which says nothing beyond its status. */
const MAX_BYTES = 4 * 1024;

/** Its connections are its own: a receiver that hangs holds up no other. */
export function openSender(webhook: WebhookConfig, { now, lookup }: SenderOptions): Sender {
  const { url, route, timeoutMs, allowPrivate, format, secrets } = webhook;
  const { origin, hostname, pathname, search } = new URL(url.reveal());
  const isAllowed = allowPrivate.includes(hostname);
  const pool = openPool(origin, {
    ...{ ...route, connections: 1, timeoutMs },
    ...(isAllowed ? lookup !== undefined && { lookup } : { lookup: publicOnly(lookup) }),
  });
  return {
    async send(event, id, signal) {
      const body = bodyOf(event, id, webhook);
      const signature = format === 'standard' ? signed({ id, at: now(), body }, secrets) : {};
      const answer = await exchange(pool, {
        ...{ method: 'POST', path: `${pathname}${search}`, body, timeoutMs, maxBytes: MAX_BYTES, signal, now },
        headers: {
          'content-type': 'application/json',
          'user-agent': `rekeyd/${packageFile.version}`,
          ...signature,
        },
      });
      return outcomeOf(answer, now());
    },
    close: () => pool.close(),
  };
}

/** A receiver that said 2xx took the event, whatever becomes of the rest of its answer. */
function outcomeOf(answer: Exchanged, now: number): Sent {
  const { status } = answer;
  if (status !== null && status >= 200 && status < 300) return { kind: 'delivered' };
  if (answer.kind === 'lost') return { kind: 'failed', why: answer.message, wishedMs: null };
  const why = `it answers ${answer.status}${isRedirect(answer.status) ? ', and redirects are not followed' : ''}`;
  if (answer.status === 410) return { kind: 'gone', why };
  const mayWish = answer.status === 429 || answer.status === 503;
  const isWish = mayWish && answer.headers['retry-after'] !== undefined;
  return { kind: 'failed', why, wishedMs: isWish ? wishedWaitMs({ ...answer, body: '', now }) : null };
}

function isRedirect(status: number): boolean {
  return status >= 300 && status < 400;
}
