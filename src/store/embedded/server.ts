/** The server process of the embedded store: found, started, stopped. All of it under the folder's lock. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { access, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { RekeydError } from '../../errors.ts';
import { monotonic, sleep } from '../../time.ts';
import { isAlive } from './lock.ts';

export interface ServerProcess {
  readonly serverPid: number;
  readonly socketPath: string;
}

/** `sun_path` holds 104 bytes on macOS and 108 on Linux. */
const MAX_SOCKET_PATH = 100;
/** Enough to load the data of many thousand clients, and to flush it when it shuts down. */
const START_MS = 60_000;
const POLL_MS = 20;
/** How long a live process may be without its socket before it counts as a server that lost it, or as a stranger with a reused id. */
const GRACE_MS = 3000;
const PING_MS = 1000;
/** A log of this many bytes begins anew with the next start: a server that fails again and again must not fill the disk with it. */
const LONG_LOG = 1024 ** 2;

/**
 * The shell becomes the server, so that its id is the server's. It waits for a line first: were we killed between starting it and noting its
 * id, it would read the end of its input and leave, and no unknown server would sit on the data.
 */
const SHELL = `umask 077
read -r go || exit 1
for server in valkey-server redis-server; do
  if command -v "$server" >/dev/null; then exec "$server" "$@" </dev/null; fi
done
exit 127`;
const NOT_INSTALLED = 127;

/** The server that runs over the data in `dir`. @throws RekeydError `redis_unreachable` when one runs but cannot be used */
export async function findServer(dir: string): Promise<ServerProcess | null> {
  const noted = await readNote(dir);
  if (noted === null) return null;
  const start = monotonic();
  for (;;) {
    const [state, program] = [await probe(noted.socketPath), await programOf(noted.serverPid)];
    if (state === 'ready') return noted;
    if (state === 'gone' && program === null) return null;
    const waited = monotonic() - start;
    if (state === 'gone' && waited > GRACE_MS) {
      if (!/^(valkey|redis)-server/.test(program ?? '')) return null;
      throw unusable(noted, dir, 'its socket is gone');
    }
    if (waited > START_MS) throw unusable(noted, dir, `it has not answered for ${START_MS / 1000} s`);
    await sleep(POLL_MS);
  }
}

function unusable({ serverPid, socketPath }: ServerProcess, dir: string, why: string): RekeydError {
  return new RekeydError(
    'redis_unreachable',
    `The embedded Redis (process ${serverPid}, socket ${socketPath}) still runs over ${dir}, but ${why}. A second server would destroy the data. Stop it with "kill ${serverPid}" and try again.`,
  );
}

/**
 * Starts a server over the data in `dir`; it outlives this process.
 * @param searchPath where its program is looked for, as in PATH
 * @throws RekeydError `redis_unreachable` with the reason from its log
 */
export async function startServer(dir: string, searchPath: string): Promise<ServerProcess> {
  const socketPath = await chooseSocket(dir);
  const logFile = join(dir, 'server.log');
  const log = openSync(logFile, (await sizeOf(logFile)) < LONG_LOG ? 'a' : 'w', 0o600);
  // A session of its own: Ctrl-C in our terminal must not end it under us.
  const child = spawn('/bin/sh', ['-c', SHELL, 'sh', ...serverArguments(dir, socketPath)], {
    detached: true,
    stdio: ['pipe', log, log],
    // Ours may hold secrets: the server needs none of it, and keeps it in its memory.
    env: { PATH: searchPath },
  });
  closeSync(log);
  const server = { serverPid: child.pid ?? 0, socketPath };
  writeFileSync(noteFile(dir), JSON.stringify(server), { mode: 0o600 });
  child.stdin?.on('error', () => {}); // it left already: seen below
  child.stdin?.end('go\n');
  child.unref();
  await untilReady(child, socketPath, logFile);
  return server;
}

/** Waits until a server that was told to shut down is gone. */
export async function untilGone({ serverPid, socketPath }: ServerProcess): Promise<void> {
  const start = monotonic();
  while ((await programOf(serverPid)) !== null || (await probe(socketPath)) !== 'gone') {
    if (monotonic() - start > START_MS) return;
    await sleep(POLL_MS);
  }
  if (isTemporary(socketPath)) await rm(dirname(socketPath), { recursive: true, force: true });
}

function serverArguments(dir: string, socketPath: string): string[] {
  const settings = {
    port: '0',
    unixsocket: socketPath,
    unixsocketperm: '700',
    dir,
    daemonize: 'no',
    logfile: '',
    save: '',
    appendonly: 'yes',
    appendfsync: 'always',
    'maxmemory-policy': 'noeviction',
  };
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
}

/** In `dir`, or in a short temporary folder when the path would be too long; the one that was used before when it is still there. */
async function chooseSocket(dir: string): Promise<string> {
  const near = join(dir, 'redis.sock');
  if (Buffer.byteLength(near) <= MAX_SOCKET_PATH) return near;
  const noted = (await readNote(dir))?.socketPath;
  if (noted !== undefined && isTemporary(noted) && (await exists(dirname(noted)))) return noted;
  return join(await mkdtemp(join(tmpdir(), 'rekeyd-')), 'redis.sock');
}

function isTemporary(socketPath: string): boolean {
  return dirname(dirname(socketPath)) === tmpdir() && /^rekeyd-/.test(socketPath.split('/').at(-2) ?? '');
}

async function untilReady(child: ChildProcess, socketPath: string, logFile: string): Promise<void> {
  let failure: string | null = null;
  child.once('error', (error) => {
    failure = error.message;
  });
  child.once('exit', (code, signal) => {
    failure = code === NOT_INSTALLED ? 'not installed' : `it ended with ${signal ?? code}`;
  });
  const start = monotonic();
  while (failure === null && (await probe(socketPath)) !== 'ready') {
    if (monotonic() - start > START_MS) failure = `it did not answer within ${START_MS / 1000} s`;
    else await sleep(POLL_MS);
  }
  if (failure === null) return;
  throw failure === 'not installed'
    ? notInstalled()
    : new RekeydError('redis_unreachable', await failed(failure, logFile));
}

function notInstalled(): RekeydError {
  return new RekeydError(
    'redis_unreachable',
    'rekeyd keeps its keys in Redis or Valkey, and finds neither valkey-server nor redis-server on the PATH. Install one (apt install redis-server · brew install valkey · apk add valkey · dnf install valkey), or set redis.url to a server that runs.',
  );
}

async function failed(why: string, logFile: string): Promise<string> {
  const lines = (await readFile(logFile, 'utf8')).trimEnd().split('\n').slice(-6);
  return `The embedded Redis could not be started: ${why}. The end of ${logFile}:\n${lines.join('\n')}`;
}

const noteFile = (dir: string) => join(dir, 'server.json');

/** Null when there is none, or half of one: it is written before the server may start, so nothing runs then. */
async function readNote(dir: string): Promise<ServerProcess | null> {
  try {
    const { serverPid, socketPath } = JSON.parse(await readFile(noteFile(dir), 'utf8'));
    return typeof serverPid === 'number' && typeof socketPath === 'string' ? { serverPid, socketPath } : null;
  } catch (error) {
    if (error instanceof SyntaxError || (error instanceof Error && 'code' in error && error.code === 'ENOENT'))
      return null;
    throw error;
  }
}

/**
 * `ready`: it answers. `busy`: a server holds the socket, but loads its data, shuts down or hangs. `gone`: no server holds it. A server listens
 * before it has loaded, and a killed one's socket can be connected to for a moment: only an answer counts.
 */
function probe(socketPath: string): Promise<'ready' | 'busy' | 'gone'> {
  return new Promise((resolve) => {
    const socket = createConnection(socketPath, () => socket.write('PING\r\n'));
    socket.setTimeout(PING_MS, () => socket.destroy());
    socket.once('data', (answer) => {
      resolve(answer.toString().startsWith('-LOADING') ? 'busy' : 'ready');
      socket.destroy();
    });
    socket.once('error', (error) => {
      if ('code' in error && (error.code === 'ECONNREFUSED' || error.code === 'ENOENT')) resolve('gone');
    });
    socket.once('close', () => resolve('busy'));
  });
}

/** The name of a process's program; null when it ended, also while its parent has not collected it yet (as under a container's first process). */
export async function programOf(pid: number): Promise<string | null> {
  if (!isAlive(pid)) return null;
  try {
    const [, name = '', state] = /\((.*)\) (\w)/.exec(await readFile(`/proc/${pid}/stat`, 'utf8')) ?? [];
    return state === 'Z' ? null : name;
  } catch {
    const listed = promisify(execFile)('ps', ['-o', 'comm=', '-p', `${pid}`]); // no /proc: macOS, where the first process collects those without a parent
    return listed.then(({ stdout }) => stdout.trim().split('/').at(-1) ?? '').catch(() => null);
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** 0 when there is no such file. */
async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}
