/** The memory of a process of ours, as Linux shows it to a process that may trace it. */
import { open, readFile } from 'node:fs/promises';

/** One read at a time, and what a needle that lies across two of them needs. */
const CHUNK = 16 * 1024 ** 2;
const LONGEST_NEEDLE = 16 * 1024;

interface Region {
  readonly start: number;
  readonly end: number;
  /** As in /proc/PID/maps: `[heap]`, a path, or nothing. */
  readonly name: string;
}

/** What the process may write to, where alone something of its own can be. */
async function writableRegions(pid: number): Promise<readonly Region[]> {
  const maps = await readFile(`/proc/${pid}/maps`, 'utf8');
  return maps.split('\n').flatMap((line) => {
    const [, start, end, name = ''] = /^([0-9a-f]+)-([0-9a-f]+) rw.. \S+ \S+ \S+ *(.*)$/.exec(line) ?? [];
    return start === undefined || end === undefined
      ? []
      : [{ start: Number.parseInt(start, 16), end: Number.parseInt(end, 16), name }];
  });
}

/** Calls `look` with piece after piece of the memory; pieces of a region lap over each other. Answers how many bytes could be read. */
export async function readMemory(pid: number, look: (bytes: Buffer, region: Region) => void): Promise<number> {
  const file = await open(`/proc/${pid}/mem`, 'r');
  const buffer = Buffer.alloc(CHUNK);
  let total = 0;
  try {
    for (const region of await writableRegions(pid)) {
      for (let at = region.start; at < region.end; at += CHUNK - LONGEST_NEEDLE) {
        const length = Math.min(CHUNK, region.end - at);
        // A region that was given back meanwhile holds nothing any more.
        const { bytesRead } = await file.read(buffer, 0, length, at).catch(() => ({ bytesRead: 0 }));
        look(buffer.subarray(0, bytesRead), region);
        total += bytesRead;
        if (at + length >= region.end) break;
      }
    }
    return total;
  } finally {
    await file.close();
    // The next search of our own memory should not find what this one looked at.
    buffer.fill(0);
  }
}
