/** What the verifier finds in exports that somebody changed, at random places; and what it takes. */

import { hash as digest, type KeyObject, sign } from 'node:crypto';
import { cp, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rotateSealKey } from '../../src/audit/by-hand.ts';
import { exportAudit } from '../../src/audit/export.ts';
import { readExports } from '../../src/audit/read.ts';
import { openSealKey } from '../../src/audit/seal-key.ts';
import type { Verified, VerifyOptions } from '../../src/audit/verify.ts';
import type { Store } from '../../src/store/store.ts';
import { type Chance, chance } from '../faults/random.ts';
import { openEmpty } from '../store/fixtures.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { append, grow, KEK, newFolder, verdict } from './sealing.ts';

const SEED = Number(process.env.FUZZ_SEED ?? 20_261_127);
const PLACES = 12;

type Line = Readonly<Record<string, unknown>> & { readonly seq: number; readonly type: string; readonly data: object };

let server: RedisServer;
/** An export in several files, with two keys and entries that are not sealed yet; and that of another store. */
let dir: string;
let other: string;
let intact: readonly Line[];
let foreign: readonly Line[];
let whole: Verified;
/** The key in force in the end. */
let later: { readonly kid: string; readonly key: KeyObject };

beforeAll(async () => {
  server = await startRedis();
  other = await logOf(async (store, to) => {
    await grow(store, [40, 40, 40, 40]);
    await exportAudit(store, to);
  });
  dir = await logOf(async (store, to) => {
    await grow(store, [3, 30, 1, 8]);
    await exportAudit(store, to);
    await grow(store, [20]);
    await rotateSealKey(store, [KEK], { actor: 'test', reason: 'by hand' });
    await append(store, 4);
    await exportAudit(store, to);
    await grow(store, [12, 25]);
    await append(store, 6);
    await exportAudit(store, to);
    const { kid, privateKey } = await openSealKey(
      (await store.sealedSealKey()) ?? '',
      (await store.sealState()).kid ?? '',
      [KEK],
    );
    later = { kid, key: privateKey.keyObject() };
  });
  [intact, foreign] = [await linesIn(dir), await linesIn(other)];
  const seen = await verdict(dir);
  if ('problem' in seen) throw new Error(seen.problem);
  whole = seen;
});
afterAll(() => server.stop());

/** In a folder that outlives the first test. */
async function logOf(write: (store: Store, to: string) => Promise<void>): Promise<string> {
  const to = join(server.socketPath, '..', `export-${Math.random()}`);
  const opened = await openEmpty(server.socketPath);
  await write(opened.store, to);
  await opened.close();
  return to;
}

async function filesIn(from: string): Promise<string[]> {
  return (await readdir(from)).filter((name) => name.endsWith('.jsonl')).sort();
}

async function linesIn(from: string): Promise<Line[]> {
  const texts = (await filesIn(from)).map((name) => readFile(join(from, name), 'utf8'));
  return (await Promise.all(texts)).flatMap((text) =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
  );
}

/** A copy of the export with other lines, in files that begin where those of the export do. */
async function copyWith(lines: readonly object[]): Promise<string> {
  const to = await newFolder();
  await cp(dir, to, { recursive: true });
  const files = await filesIn(dir);
  const starts = files.map((name) => Number(/\d+/.exec(name)));
  for (const [index, name] of files.entries()) {
    const [from = 1, end = lines.length + 1] = [starts[index], starts[index + 1]];
    const own = index === files.length - 1 ? lines.slice(from - 1) : lines.slice(from - 1, end - 1);
    await writeFile(join(to, name), own.map((line) => `${sorted(line)}\n`).join(''));
  }
  return to;
}

/** Our own way to RFC 8785, for entries as these. */
function sorted(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sorted).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const names = Object.keys(value).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${sorted(Reflect.get(value, name))}`).join(',')}}`;
}

function hashed(line: Line): Line {
  const { hash: _, ...rest } = line;
  return { ...rest, hash: digest('sha256', sorted(rest)) } as unknown as Line; // with all members of the line
}

/** Numbers and hashes follow each other again, as one who knows the format would make them. @param seal what becomes of a checkpoint */
function relinked(
  lines: readonly Line[],
  seal: (line: Line, hashes: readonly string[]) => Line = (line) => line,
): Line[] {
  const hashes: string[] = ['0'.repeat(64)];
  return lines.map((line, index) => {
    const placed = { ...line, seq: index + 1, prev: hashes.at(-1) };
    const made = hashed(placed.type === 'audit.sealed' ? seal(placed, hashes) : placed);
    hashes.push(String(made.hash));
    return made;
  });
}

/** Checkpoints on the changed entries, signed by the key that is in force in the end. */
function resealed(lines: readonly Line[]): Line[] {
  let previous = { seq: 0, hash: '0'.repeat(64) };
  return relinked(lines, (line, hashes) => {
    const { seq, jws } = line.data as { seq: number; jws: string };
    const claims = JSON.parse(Buffer.from(String(jws).split('.')[1] ?? '', 'base64url').toString());
    const covered = { seq: Math.min(seq, hashes.length - 1), hash: hashes[Math.min(seq, hashes.length - 1)] ?? '' };
    const stated = { ...claims, ...covered, previous_seq: previous.seq, previous_hash: previous.hash };
    previous = covered;
    const text = [{ alg: 'EdDSA', kid: later.kid }, stated]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.');
    const made = `${text}.${sign(null, Buffer.from(text), later.key).toString('base64url')}`;
    return { ...line, data: { ...covered, kid: later.kid, jws: made } };
  });
}

interface Attack {
  readonly lines: readonly object[];
  /** The first entry that is not as it was. */
  readonly at: number;
  readonly options?: VerifyOptions;
}

const swapAt = (lines: readonly Line[], at: number) =>
  lines.toSpliced(at - 1, 2, lines[at] as Line, lines[at - 1] as Line);
const changedAt = (lines: readonly Line[], at: number, change: (line: Line) => object) =>
  lines.map((line) => (line.seq === at ? (change(line) as Line) : line));
const reworded = (line: Line) => ({ ...line, reason: `${line.reason}.` });

/** At a random place among the sealed entries. `naive`: numbers and hashes are left as they were; the attack names the very entry. */
const ATTACKS: Readonly<
  Record<string, { readonly naive?: true; readonly says?: RegExp; readonly make: (at: number, luck: Chance) => Attack }>
> = {
  'an entry was changed': { naive: true, make: (at) => ({ at, lines: changedAt(intact, at, reworded) }) },
  'a number of an entry was changed': {
    naive: true,
    make: (at) => ({ at, lines: changedAt(intact, at, (line) => ({ ...line, seq: line.seq + 1000 })) }),
  },
  'an entry was changed, with its hash': {
    says: /does not follow/,
    make: (at) => ({ at, lines: changedAt(intact, at, (line) => hashed(reworded(line) as Line)) }),
  },
  'an entry was changed, and all hashes after it': {
    says: /is not what checkpoint/,
    make: (at) => ({ at, lines: relinked(changedAt(intact, at, reworded)) }),
  },
  'an entry was removed': { naive: true, make: (at) => ({ at, lines: intact.toSpliced(at - 1, 1) }) },
  'an entry was removed, and all after it renumbered': {
    make: (at) => ({ at, lines: relinked(intact.toSpliced(at - 1, 1)) }),
  },
  'an entry was inserted': {
    naive: true,
    make: (at) => ({ at, lines: intact.toSpliced(at - 1, 0, hashed(reworded(intact[at - 1] as Line) as Line)) }),
  },
  'an entry was inserted, and all after it renumbered': {
    make: (at) => ({ at, lines: relinked(intact.toSpliced(at - 1, 0, reworded(intact[at % 5] as Line) as Line)) }),
  },
  'two entries were swapped': { naive: true, make: (at) => ({ at, lines: swapAt(intact, at) }) },
  'two entries were swapped, and renumbered': {
    says: /is not what checkpoint|has no place|signed|signature/,
    make: (at) => ({ at, lines: relinked(swapAt(intact, at)) }),
  },
  'an entry is there twice': {
    make: (at) => ({ at: at + 1, lines: intact.toSpliced(at - 1, 0, intact[at - 1] as Line) }),
  },
  'an entry is there twice, and all after it renumbered': {
    make: (at) => ({ at: at + 1, lines: relinked(intact.toSpliced(at - 1, 0, intact[at - 1] as Line)) }),
  },
  'the end is missing': {
    says: /is expected/,
    make: (at) => ({ at, lines: intact.slice(0, at - 1), options: { expect: { size: whole.last, hash: whole.hash } } }),
  },
  'the end is another one': {
    make: (at) => ({
      at,
      lines: relinked([...intact.slice(0, at - 1), ...intact.slice(at - 1).map((line) => reworded(line) as Line)]),
      options: { expect: { size: whole.last, hash: whole.hash } },
    }),
  },
  'a checkpoint states another hash': {
    says: /signature on something else/,
    make: (at) => {
      const seal = intact.find(({ seq, type }) => seq >= at && type === 'audit.sealed') as Line;
      const lines = changedAt(intact, seal.seq, (line) => ({ ...line, data: { ...line.data, hash: 'a'.repeat(64) } }));
      return { at: seal.seq, lines: relinked(lines) };
    },
  },
  'a checkpoint is that of another place': {
    make: (at, luck) => {
      const seals = intact.filter(({ type, seq }) => type === 'audit.sealed' && seq <= whole.sealed);
      const [seal, from] = [luck.pick(seals), luck.pick(seals)];
      const moved = from === seal ? { ...from.data, jws: 'a.b.c' } : from.data;
      return {
        at: Math.min(at, seal.seq),
        lines: relinked(changedAt(intact, seal.seq, (line) => ({ ...line, data: moved }))),
      };
    },
  },
  'checkpoints were removed': {
    make: (at) => ({
      at: Math.min(at, 4),
      lines: relinked(intact.filter(({ type, seq }) => type !== 'audit.sealed' || seq > at)),
    }),
  },
  'it was signed again with a later key': {
    says: /the key in force is/,
    make: (at) => ({ at, lines: resealed(changedAt(intact, at, reworded)) }),
  },
  'the entries of another store go on': {
    says: /does not follow/,
    make: (at) => ({ at, lines: [...intact.slice(0, at), ...foreign.slice(at)] }),
  },
  'the entries of another store go on, linked': {
    make: (at) => ({ at, lines: relinked([...intact.slice(0, at), ...foreign.slice(at)]) }),
  },
  'a segment is declared that nobody declared': {
    says: /was not declared|is not what checkpoint|signed/,
    make: (at) => {
      const segment = {
        ...intact[0],
        type: 'store.segment',
        data: { restart: true, store: 'x' },
        prev: '0'.repeat(64),
      };
      const rest = intact.slice(at - 1).map((line) => ({ ...line, seq: line.seq + 1 }));
      const lines = [...intact.slice(0, at - 1), hashed({ ...segment, seq: at } as unknown as Line)];
      for (const line of rest) lines.push(hashed({ ...line, prev: lines.at(-1)?.hash } as unknown as Line));
      return { at, lines };
    },
  },
};

describe('what somebody changed is found', () => {
  it.each(Object.entries(ATTACKS))('%s', async (name, { naive, says = /./, make }) => {
    const luck = chance(SEED).branch(name);
    for (let place = 0; place < PLACES; place += 1) {
      const at = luck.between(2, whole.sealed);
      const attack = make(at, luck);
      const found = await verdict(await copyWith(attack.lines), attack.options);
      const told = `seed ${SEED}, ${name} at ${at}: ${JSON.stringify(found)}`;
      // What was changed into itself is no change.
      if (
        attack.lines.length === intact.length &&
        attack.lines.every((line, index) => sorted(line) === sorted(intact[index]))
      )
        continue;
      expect(found, told).toHaveProperty('problem', expect.stringMatching(says));
      if (!('problem' in found)) continue;
      if (naive) expect(found.entry, told).toBe(attack.at);
      // It is named, or the entry after it, or the first of those that one checkpoint covers.
      else expect(found.entry ?? 0, told).toBeGreaterThan(0);
    }
  });
});

describe('it takes', () => {
  it('the untouched log, and says what is sealed and by whom', () => {
    const keyed = intact
      .filter(({ type }) => type.startsWith('audit.key_'))
      .map(({ data }) => Reflect.get(data, 'kid'));
    expect(whole).toMatchObject({ first: 1, last: intact.length, unsealed: 6, segments: [], kids: keyed });
    expect(whole.sealed).toBe(intact.length - 7);
    expect(whole.hash).toBe(intact.at(-1)?.hash);
    expect(keyed).toHaveLength(2);
  });

  it('folders that overlap, and those that only make one log together', async () => {
    const [first = '', second = '', third = ''] = await filesIn(dir);
    expect(third).not.toBe('');
    const [early, late] = [await without(third), await without(first)];
    expect(await verdict([late, dir, early])).toEqual(whole);
    expect(await verdict([await without(second, third), late])).toEqual(whole);
    expect(await verdict([await without(second, third), await without(first, second)])).toMatchObject({
      entry: numberOf(second),
      problem: expect.stringContaining('missing'),
    });
    const changed = await copyWith(changedAt(intact, 7, (line) => hashed(reworded(line) as Line)));
    expect(await verdict([dir, changed])).toMatchObject({ entry: 7 });
  });

  it('no folders of two stores', async () => {
    expect(await verdict([dir, other])).toMatchObject({ entry: 1, problem: expect.stringContaining('differs') });
    const mixed = await without();
    const [first = ''] = await filesIn(other);
    await cp(join(other, first), join(mixed, `audit-${String(intact.length + 1).padStart(12, '0')}.jsonl`));
    expect(await verdict(mixed)).toMatchObject({ entry: 1, problem: expect.stringContaining('second time') });
  });

  it('a log whose older files were moved away only where that is said, or a checkpoint vouches for it', async () => {
    const [first = '', second = ''] = await filesIn(dir);
    const moved = await without(first);
    const from = numberOf(second);
    expect(await verdict(moved)).toMatchObject({ entry: from, problem: expect.stringContaining(`--from ${from}`) });
    expect(await verdict(moved, { from })).toEqual({ ...whole, first: from });
    const seal = intact.filter(({ type }) => type === 'audit.sealed')[2];
    const covered = Number(Reflect.get(seal?.data ?? {}, 'seq'));
    const cut = await newFolder();
    await cp(dir, cut, { recursive: true });
    for (const name of await filesIn(dir)) await writeFile(join(cut, name), '');
    await writeFile(
      join(cut, `audit-${covered + 1}.jsonl`),
      intact
        .slice(covered)
        .map((line) => `${sorted(line)}\n`)
        .join(''),
    );
    expect(await verdict(cut)).toEqual({ ...whole, first: covered + 1 });
    const forged = await copyWith(intact);
    for (const name of await filesIn(dir)) await writeFile(join(forged, name), '');
    const changed = relinkedFrom(intact.slice(covered), (line) =>
      line.seq === covered + 2 ? (reworded(line) as Line) : line,
    );
    await writeFile(join(forged, `audit-${covered + 1}.jsonl`), changed.map((line) => `${sorted(line)}\n`).join(''));
    expect(await verdict(forged, { from: covered + 1 })).toMatchObject({ entry: covered + 1 });
  });

  it('a key that was given, and no other', async () => {
    const [first = '', last = ''] = whole.kids.map((kid) => join(dir, `audit-key-${kid}.pem`));
    expect(await verdict(dir, { publicKeys: [first] })).toEqual(whole);
    expect(await verdict(dir, { publicKeys: [last] })).toMatchObject({
      problem: expect.stringContaining('not the given key'),
    });
    expect(await verdict(dir, { publicKeys: [last, first] })).toEqual(whole);
    const [foreignKey = ''] = (await readdir(other)).filter((name) => name.endsWith('.pem'));
    expect(await verdict(dir, { publicKeys: [join(other, foreignKey)] })).toHaveProperty('problem');
    expect(await verdict(dir, { publicKeys: [join(dir, (await filesIn(dir))[0] ?? '')] })).toMatchObject({
      entry: null,
    });
  });

  it('the length that was expected, or more', async () => {
    for (const { seq, hash } of [intact[0], intact[50], intact.at(-1)] as Line[]) {
      expect(await verdict(dir, { expect: { size: seq, hash: String(hash) } })).toEqual(whole);
      expect(await verdict(dir, { expect: { size: seq, hash: '0'.repeat(64) } })).toMatchObject({ entry: seq });
    }
    const beyond = { size: intact.length + 1, hash: '0'.repeat(64) };
    expect(await verdict(dir, { expect: beyond })).toMatchObject({ entry: intact.length + 1 });
  });

  it('no line that is too long to be an entry, and reads no more of it', async () => {
    const endless = await without();
    await truncate(join(endless, (await filesIn(endless)).at(-1) ?? ''), 8 * 1024 ** 3); // sparse: zeros that take no room
    expect(await verdict(endless)).toMatchObject({
      entry: intact.length + 1,
      problem: expect.stringContaining('cannot be read'),
    });
    await expect(readExports([endless], () => {})).rejects.toMatchObject({ code: 'export_failed' });
  });

  it('no entry that cannot be one of ours, although it has the hash that it states: it is named', async () => {
    const rest = `"prev":"${'0'.repeat(64)}","seq":1,"time":"2026-11-27T10:00:00.000Z"`;
    const cases: [start: string, type: string, says: string][] = [
      ['', 'audit.sealed', 'has no data'],
      ['"data":null,', 'store.segment', 'has no data'],
      ['no JSON,', 'audit.sealed', 'no JSON'],
      ['"data":{"kid":"k","x":"AA"},', 'audit.key_created', 'names a public key that cannot be read'],
    ];
    for (const [start, type, says] of cases) {
      const whole = digest('sha256', `{${start}${rest},"type":"${type}"}`);
      const forged = await newFolder();
      await writeFile(join(forged, 'audit-1.jsonl'), `{${start}"hash":"${whole}",${rest},"type":"${type}"}\n`);
      expect(await verdict(forged)).toEqual({ entry: 1, problem: expect.stringContaining(says) });
    }
  });

  it('no log that nobody sealed, no empty folder, no line that was cut off, none without hashes', async () => {
    const unsealed = await copyWith(intact.slice(0, 4));
    expect(await verdict(unsealed)).toMatchObject({ entry: 1, problem: expect.stringContaining('not sealed') });
    expect(await verdict(await newFolder())).toMatchObject({ entry: null });
    const cut = await without();
    const name = join(cut, (await filesIn(dir)).at(-1) ?? '');
    const text = await readFile(name, 'utf8');
    for (const end of [-1, -2, -40]) {
      await writeFile(name, text.slice(0, end));
      const found = await verdict(cut);
      if (end === -1) expect(found, 'only the line end is missing').toEqual(whole);
      else expect(found).toMatchObject({ entry: intact.length, problem: expect.stringContaining('cannot be read') });
    }
    const old = await copyWith(intact.map(({ prev: _, hash: __, ...line }) => line));
    expect(await verdict(old)).toMatchObject({ problem: expect.stringContaining('a version that exported no hashes') });
  });
});

function numberOf(name: string): number {
  return Number(/\d+/.exec(name));
}

async function without(...names: readonly string[]): Promise<string> {
  const to = await newFolder();
  await cp(dir, to, { recursive: true, filter: (path) => !names.some((name) => path.endsWith(name)) });
  return to;
}

/** Hashes follow each other again, from where the first line is. */
function relinkedFrom(lines: readonly Line[], change: (line: Line) => Line): Line[] {
  let prev = lines[0]?.prev;
  return lines.map((line) => {
    const made = hashed({ ...change(line), prev });
    prev = made.hash;
    return made;
  });
}
