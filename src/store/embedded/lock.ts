/**
 * A lock in a folder that several processes use. A holder that is killed locks no other process out. Turns are numbered files: `turn-7`
 * says which process holds it, and is emptied when that process is done. The lock is taken by making the next number, which only one can; a dead holder's file
 * is never removed to be made again, because two that find it could both do so.
 */
import { randomUUID } from 'node:crypto';
import { link, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RekeydError } from '../../errors.ts';
import { monotonic, sleep } from '../../time.ts';

/** Longer than a server is given to start or to shut down. */
const PATIENCE_MS = 120_000;
const POLL_MS = 20;

/** Names this process beside its number, which in a new container is often that of the one that died. */
const OURSELVES = randomUUID();

/** @throws RekeydError `redis_unreachable` when another process keeps the lock for two minutes; whatever `task` throws */
export async function withLock<T>(dir: string, task: () => Promise<T>): Promise<T> {
  const turn = await takeTurn(dir);
  try {
    return await task();
  } finally {
    await truncate(turn);
  }
}

/** Whether a process with that id exists, ours or not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** When a process started, in clock ticks since the machine did (proc(5), field 22 of stat); empty where the system does not say. */
async function startOf(pid: number): Promise<string> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The program's name, in parentheses, may hold anything.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

const turnFile = (dir: string, turn: number) => join(dir, `turn-${turn}`);

async function takeTurn(dir: string): Promise<string> {
  // Linked into place with its content: an empty file means that the turn is over, never that it has just begun.
  const draft = join(dir, `draft-${randomUUID()}`);
  await writeFile(draft, `${process.pid} ${await startOf(process.pid)} ${OURSELVES}`, { mode: 0o600 });
  const start = monotonic();
  try {
    for (;;) {
      const last = (await turns(dir)).at(-1) ?? 0;
      if (!(await isTaken(dir, last)) && (await take(dir, draft, last + 1))) return turnFile(dir, last + 1);
      if (monotonic() - start > PATIENCE_MS) {
        throw new RekeydError(
          'redis_unreachable',
          `Another rekeyd process has been starting or stopping the embedded Redis for two minutes. If none is running, remove ${turnFile(dir, last)}.`,
        );
      }
      await sleep(POLL_MS);
    }
  } finally {
    await rm(draft, { force: true });
  }
}

async function take(dir: string, draft: string, turn: number): Promise<boolean> {
  try {
    await link(draft, turnFile(dir, turn));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
  // A process that comes late, with an old number in mind, may make a file that was removed already: only the highest counts.
  const made = await turns(dir);
  const stale = made.at(-1) === turn ? made.slice(0, -1) : [turn];
  for (const number of stale) await rm(turnFile(dir, number), { force: true });
  return made.at(-1) === turn;
}

async function turns(dir: string): Promise<number[]> {
  const numbers = (await readdir(dir)).flatMap((name) => /^turn-(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  return numbers.sort((a, b) => a - b);
}

async function isTaken(dir: string, turn: number): Promise<boolean> {
  if (turn === 0) return false;
  try {
    const [pid = '', start = '', name = ''] = (await readFile(turnFile(dir, turn), 'utf8')).split(' ');
    if (Number(pid) === process.pid) return name === OURSELVES;
    if (pid === '' || !isAlive(Number(pid))) return false;
    return start === '' || start === (await startOf(Number(pid)));
  } catch {
    return true; // removed since: a higher one was made
  }
}
