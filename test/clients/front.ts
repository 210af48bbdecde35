/** What an application sees: the OAuth server at an address of its own, and an API that takes its tokens. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { decodeProtectedHeader } from 'jose';
import { onTestFinished } from 'vitest';
import type { Emulator } from '../emulator/server.ts';

export interface Front {
  readonly tokenUrl: string;
  readonly apiUrl: string;
  /** The kid and the status of each token request, in order. */
  readonly asked: { readonly kid: string; readonly status: number }[];
  /** Calls of the API with a token that was given out. */
  readonly calls: () => number;
}

/** @param host of the app at the local Wacht. Stops when the test ends */
export async function startFront(emulator: Pick<Emulator, 'url'>, host: string): Promise<Front> {
  const asked: { readonly kid: string; readonly status: number }[] = [];
  const tokens = new Set<string>();
  let calls = 0;

  async function token(request: IncomingMessage): Promise<{ readonly status: number; readonly body: string }> {
    const form = new URLSearchParams(await text(request));
    const answer = await fetch(`${emulator.url}/oauth/token`, {
      method: 'POST',
      headers: { 'x-forwarded-host': host },
      body: form,
    });
    const body = await answer.text();
    asked.push({
      kid: String(decodeProtectedHeader(form.get('client_assertion') ?? '').kid),
      status: answer.status,
    });
    if (answer.ok) tokens.add(JSON.parse(body).access_token);
    return { status: answer.status, body };
  }

  function api({ headers }: IncomingMessage): { readonly status: number; readonly body: string } {
    const isKnown = tokens.has((headers.authorization ?? '').replace(/^Bearer /, ''));
    if (isKnown) calls += 1;
    return { status: isKnown ? 200 : 401, body: '{}' };
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, body } = request.url === '/api' ? api(request) : await token(request);
    response.writeHead(status, { 'content-type': 'application/json' }).end(body);
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close().closeAllConnections());
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  const origin = `http://127.0.0.1:${port}`;
  return { tokenUrl: `${origin}/oauth/token`, apiUrl: `${origin}/api`, asked, calls: () => calls };
}
