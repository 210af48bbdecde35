/** Moto, a stand-in for AWS that others keep, and a front before it that fails as AWS does: Moto itself throttles nobody, and refuses no disabled key. */
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { listening } from './listening.ts';
import { freePort } from './ports.ts';
import { PYTHON } from './python.ts';
import { until } from './until.ts';

export interface Moto {
  /** Of the front. */
  readonly url: string;
  /** Operations, such as `PutSecretValue`. */
  readonly calls: string[];
  /** Names of errors for the next calls, such as `ThrottlingException`. */
  readonly failures: string[];
  /** The name of an error that each call gets while it is set; `away`: the connection is cut. */
  refuses: string | null;
  /** Called before an operation is passed on. */
  onCall: (operation: string) => void | Promise<void>;
}

/** One for all tests of a file: it takes seconds to start. */
let running: Promise<{ readonly url: string; stop(): void }> | null = null;

/** After the last test of a file. */
export async function stopMoto(): Promise<void> {
  (await running)?.stop();
  running = null;
}

async function launch() {
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
      saw(said);
      if (child.exitCode !== null) throw new Error(`Moto has ended: ${said}`);
      return (await fetch(`${url}/moto-api/`).catch(() => null))?.ok === true;
    },
    60_000,
  );
  return { url, stop: () => void child.kill('SIGKILL') };
}

const OWN_HEADERS: readonly string[] = ['host', 'connection', 'content-length'];

/** A front of this test's own. */
export async function startMoto(): Promise<Moto> {
  running ??= launch();
  const { url } = await running;
  const moto: Moto = { url: '', calls: [], failures: [], refuses: null, onCall: () => {} };
  const server = createServer(async (request, response) => {
    // Such as `secretsmanager.PutSecretValue`.
    const operation = String(request.headers['x-amz-target']).replace(/^.*\./, '');
    const body = await buffer(request);
    const failure = moto.failures.shift() ?? moto.refuses;
    moto.calls.push(operation);
    if (failure === 'away') return void request.socket.destroy();
    if (failure !== null) {
      response.writeHead(400, { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-errortype': failure });
      response.end(JSON.stringify({ __type: failure, message: `${failure} of a test` }));
      return;
    }
    await moto.onCall(operation);
    const headers = Object.entries(request.headers).filter(([name]) => !OWN_HEADERS.includes(name));
    const answer = await fetch(url, {
      method: 'POST',
      headers: headers.map(([name, value]): [string, string] => [name, String(value)]),
      body,
    });
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'application/json' });
    response.end(Buffer.from(await answer.arrayBuffer()));
  });
  const port = await listening(server);
  return Object.assign(moto, { url: `http://127.0.0.1:${port}` });
}
