/** A receiver of webhooks that misbehaves now and then. It verifies what it is sent with code of its own, and notes what it took. */
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import type { Event, Untimed } from '../evidence/history.ts';
import type { Chance } from '../random.ts';

const KEY = Buffer.alloc(32, 9);

/** For the environment of the workers. */
export const HOOK_SECRET = `whsec_${KEY.toString('base64')}`;

/** What befalls a delivery, or comes of it. */
export type Whim = 'refuse' | 'take, and hang up' | 'hang up' | 'take, and answer late';

type Hook = Extract<Event, { readonly kind: 'hook' }>;

export interface Receiver {
  /** Told of each event that it takes. */
  note: (event: Untimed<Hook>) => void;
  readonly url: string;
  /** The number of the last entry that it took. */
  readonly last: number;
  /** Of the next deliveries, one each. */
  readonly whims: Whim[];
  close(): Promise<void>;
}

const LATE_MS = 1_500;

export async function startReceiver(): Promise<Receiver> {
  let last = 0;
  let url = '';
  let isSpared = false;
  const receiver: Receiver = {
    note: () => {},
    whims: [],
    get url() {
      return url;
    },
    get last() {
      return last;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
  const server = createServer(async (request, response) => {
    const body = await text(request);
    // Never two in a row: a delivery that fails again and again waits ever longer.
    const whim = isSpared ? undefined : receiver.whims.shift();
    isSpared = whim !== undefined;
    if (whim === 'hang up') return void request.socket.destroy();
    if (whim === 'refuse') return void response.writeHead(503).end();
    const { type, data } = JSON.parse(body);
    const id = String(request.headers['webhook-id']);
    receiver.note({ kind: 'hook', id, seq: data.seq, type, isSigned: isSigned(request.headers, body) });
    last = data.seq;
    if (whim === 'take, and hang up') return void request.socket.destroy();
    if (whim === 'take, and answer late') await delay(LATE_MS);
    response.writeHead(204).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  return receiver;
}

export function whimOf(chance: Chance): Whim {
  return chance.pick(['refuse', 'take, and hang up', 'hang up', 'take, and answer late'] as const);
}

/** Standard Webhooks: `v1,` and HMAC-SHA256 over id, timestamp and body. */
function isSigned(headers: IncomingHttpHeaders, body: string): boolean {
  const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  return headers['webhook-signature'] === `v1,${createHmac('sha256', KEY).update(signed).digest('base64')}`;
}
