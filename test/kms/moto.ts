/** Moto, a stand-in for AWS that others keep, and a front before it that refuses as AWS does: Moto itself refuses no disabled key. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';
import { freePort } from '../support/ports.ts';
import { until } from '../support/until.ts';

const PYTHON = process.env.REKEYD_PYTHON ?? 'python3';

/** Null where Moto is there, else why tests are left out. */
export const noMoto: string | null =
  spawnSync(PYTHON, ['-c', 'import moto.server']).status === 0
    ? null
    : 'there is no Python with the module moto: .ci/run installs it, and REKEYD_PYTHON names another one';

/** One for all tests of a file: it takes seconds to start. */
export async function launchMoto(): Promise<{ readonly url: string; stop(): void }> {
  const port = await freePort();
  const args = ['-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)];
  const child = spawn(PYTHON, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env.PATH } });
  let said = '';
  child.stderr.on('data', (text: Buffer) => {
    said = `${said}${text}`.slice(-2_000);
  });
  const url = `http://127.0.0.1:${port}`;
  await until(
    'Moto answers',
    async (saw) => {
      if (child.exitCode !== null) throw new Error(`Moto has ended: ${saw(said)}`);
      return (await fetch(`${url}/moto-api/`).catch(() => null))?.ok === true;
    },
    60_000,
  );
  return { url, stop: () => void child.kill('SIGKILL') };
}

export interface Front {
  readonly url: string;
  /** The name of an error that each call gets while it is set; `away`: the connection is cut. */
  refuses: string | null;
  readonly calls: string[];
}

export async function startFront(moto: string): Promise<Front> {
  const front = { url: '', refuses: null as string | null, calls: [] as string[] };
  const server = createServer(async (request, response) => {
    front.calls.push(String(request.headers['x-amz-target']).replace('TrentService.', ''));
    const body = await buffer(request);
    if (front.refuses === 'away') return void request.socket.destroy();
    if (front.refuses !== null) {
      response.writeHead(400, { 'content-type': 'application/x-amz-json-1.1' });
      response.end(JSON.stringify({ __type: front.refuses, message: `${front.refuses} of a test` }));
      return;
    }
    const { host: _, connection: __, 'content-length': ___, ...headers } = request.headers;
    const sent = Object.entries(headers).map(([name, value]): [string, string] => [name, String(value)]);
    const answer = await fetch(moto, { method: 'POST', headers: sent, body });
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' });
    response.end(Buffer.from(await answer.arrayBuffer()));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  front.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // a TCP server's address is an object
  return front;
}
