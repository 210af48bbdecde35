/** A receiver of webhooks on loopback, and what it was told. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { Webhook } from 'standardwebhooks';
import { onTestFinished } from 'vitest';
import { Secret } from '../../src/config/secret.ts';
import type { WebhookConfig } from '../../src/config/telling.ts';
import type { RekeydEvent } from '../../src/core/event.ts';

export const KEY = Buffer.alloc(32, 5);
export const SECRET = `whsec_${KEY.toString('base64')}`;

export interface Heard {
  readonly id: string;
  readonly headers: IncomingMessage['headers'];
  readonly path: string | undefined;
  readonly body: string;
}

export type Answer = (response: ServerResponse, heard: Heard) => void;

export interface Receiver {
  readonly url: string;
  readonly heard: Heard[];
  /** Of the next requests; 204 at first. */
  answer: Answer;
  /** What it took, verified as its authors do. @throws where a signature is wrong */
  events(): RekeydEvent[];
}

export const status =
  (code: number, headers = {}): Answer =>
  (response) =>
    void response.writeHead(code, headers).end();

export async function startReceiver(): Promise<Receiver> {
  const receiver: Receiver = {
    url: '',
    heard: [],
    answer: status(204),
    events: () => receiver.heard.map(({ body, headers }) => verified(body, headers)),
  };
  const server = createServer(async (request, response) => {
    const { headers, url: path } = request;
    const heard = { id: String(headers['webhook-id']), headers, path, body: await text(request) };
    receiver.heard.push(heard);
    receiver.answer(response, heard);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => void server.close(resolve));
  });
  return Object.assign(receiver, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?x=1` });
}

export function verified(body: string, headers: IncomingMessage['headers'], secret = SECRET): RekeydEvent {
  return new Webhook(secret).verify(body, headers as Record<string, string>) as RekeydEvent;
}

/** A webhook as the config reads it. */
export function webhookTo(url: string, changes: Partial<WebhookConfig> = {}): WebhookConfig {
  return {
    ...{ name: 'siem', url: new Secret(url), format: 'standard', secrets: [new Secret(KEY)], routingKey: null },
    ...{ events: [], only: [], allowPrivate: ['127.0.0.1'], timeoutMs: 20_000, giveUpMs: 86_400_000 },
    ...{ route: { proxy: null, authorities: [] }, ...changes },
  };
}
