/**
 * A year of audit: each client is rotated once a day, the log is sealed, exported and cut as it grows, with the times of that year. `node test/audit/year.ts`
 * runs all of it, which takes half an hour; `--days 60 --clients 300 --most 50` (MiB) takes two minutes. The test beside it runs a small one.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openExports } from '../../src/audit/exports/open.ts';
import { retain } from '../../src/audit/retention.ts';
import { openSealer } from '../../src/audit/seal.ts';
import { verifyAudit } from '../../src/audit/verify.ts';
import type { AuditDraft, AuditType } from '../../src/core/audit.ts';
import { makeReference } from '../../src/core/client.ts';
import { type OpenedStore, open } from '../store/fixtures.ts';
import { startRedis } from '../support/redis.ts';

export interface YearOptions {
  readonly days: number;
  readonly clients: number;
  readonly keepMs: number;
  readonly mostBytes: number;
}

export interface Year {
  readonly entries: number;
  /** As Redis measures the log, at its largest, after the exports of a day. */
  readonly peakBytes: number;
  /** Entries that are left in Redis. */
  readonly left: number;
  /** Lines in the export, all of them verified. */
  readonly exported: number;
  readonly files: number;
}

const DAY = 86_400_000;

/** What a rotation by cutover writes. */
const STEPS: readonly AuditType[] = [
  ...(['rotation.requested', 'rotation.started', 'key.generated', 'key.stored', 'key.delivered'] as const),
  ...(['key.publishing', 'key.published', 'key.proven', 'key.activated', 'key.deactivated'] as const),
  ...(['key.delivered', 'key.destroyed', 'rotation.completed'] as const),
];

function rotationOf(client: number): readonly AuditDraft[] {
  const [rotation, kid, replaces] = [randomUUID(), randomUUID(), randomUUID()];
  const ref = makeReference('185019846023', 'mcp-auth', String(185019846023000000 + client));
  const cause = { actor: 'schedule:default', reason: 'its key is older than rotate_every (1d)' };
  const data = { kid, replaces, strategy: 'cutover', alg: 'ES256', from: 'pre-active', to: 'active', duration_ms: 118 };
  return STEPS.map((type) => ({ type, client: ref, rotation, ...cause, data }));
}

/** KEYS audit, size. ARGV time, drafts. */
const APPEND_AT = `
for i = 2, #ARGV do
  redis.call('XADD', KEYS[1], redis.call('INCR', KEYS[2]) .. '-0', 'at', ARGV[1], 'draft', ARGV[i])
end
`;

const AT_ONCE = 500;

async function appendAt({ redis, store }: OpenedStore, at: number, drafts: readonly AuditDraft[]): Promise<void> {
  for (let from = 0; from < drafts.length; from += AT_ONCE) {
    const texts = drafts.slice(from, from + AT_ONCE).map((draft) => JSON.stringify(draft));
    await redis.eval(APPEND_AT, 2, store.keys.audit, store.keys.auditSize, at, ...texts);
  }
}

/** @param onDay told of each day how many bytes the log takes after it */
export async function runYear(
  { days, clients, keepMs, mostBytes }: YearOptions,
  onDay: (day: number, bytes: number) => void = () => {},
): Promise<Year> {
  const server = await startRedis({ appendfsync: 'always' });
  const dir = await mkdtemp(join(tmpdir(), 'rekeyd-year-'));
  const opened = await open(server.socketPath);
  try {
    const { store, redis } = opened;
    const keks = [{ id: 'kek', key: new Uint8Array(32).fill(1) }];
    const sealer = openSealer(store, { holder: 'sealer', leaseMs: 3_600_000, keks });
    const place = { kind: 'folder', name: 'folder', id: 'folder', path: join(dir, 'audit') } as const;
    const tell = { fails: fail, goesOn() {}, broken: fail, missed: fail };
    const limits = { keepMs, mostBytes, holder: 'retainer', tell, hanging: new Map<string, Promise<unknown>>() };
    const parts = { source: store, stdout: process.stdout, onBroken: fail };
    const exports = openExports({ keepMs, mostBytes, exports: [place] }, parts);
    const options = { ...limits, exports, signal: new AbortController().signal, neededFrom: async () => null };
    let peakBytes = 0;
    const begin = await store.now();
    for (let day = 1; day <= days; day += 1) {
      const now = begin + day * DAY;
      const drafts = Array.from({ length: clients }, (_, client) => rotationOf(client)).flat();
      await appendAt(opened, now, drafts);
      await sealer.run();
      await retain({ ...store, now: async () => now }, options);
      const bytes = Number(await redis.memory('USAGE', store.keys.audit, 'SAMPLES', 0));
      peakBytes = Math.max(peakBytes, bytes);
      onDay(day, bytes);
    }
    // All that is sealed by now goes to the export.
    await retain({ ...store, now: async () => begin + (days + 1) * DAY }, options);
    const { first, last } = await store.logExtent();
    return { entries: last, peakBytes, left: last - first + 1, ...(await countExport(place.path, last)) };
  } finally {
    await opened.close();
    await server.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

function fail(...what: readonly unknown[]): never {
  throw new Error(what.join(' '));
}

async function countExport(folder: string, last: number): Promise<Pick<Year, 'exported' | 'files'>> {
  const verified = await verifyAudit([folder]);
  if (verified.first !== 1 || verified.last !== last) fail('verified', verified.first, 'to', verified.last, 'of', last);
  const names = (await readdir(folder)).filter((name) => name.endsWith('.jsonl'));
  let exported = 0;
  for (const name of names) exported += (await readFile(join(folder, name), 'utf8')).split('\n').length - 1;
  return { exported, files: names.length };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { days: { type: 'string' }, clients: { type: 'string' }, most: { type: 'string' } },
  });
  const [days, clients] = [Number(values.days ?? 365), Number(values.clients ?? 2000)];
  const mostBytes = Number(values.most ?? 200) * 1024 ** 2;
  const mebibytes = (bytes: number) => `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
  const year = await runYear({ days, clients, keepMs: 90 * DAY, mostBytes }, (day, bytes) => {
    if (day % 10 === 0) process.stderr.write(`day ${day}: ${mebibytes(bytes)}\n`);
  });
  const isMet = year.peakBytes < mostBytes && year.exported === year.entries;
  process.stdout.write(
    `${JSON.stringify({ ...year, peak: mebibytes(year.peakBytes), most: mebibytes(mostBytes), met: isMet }, null, 2)}\n`,
  );
  process.exitCode = isMet ? 0 : 1;
}
