/** Sealed logs for tests: entries of many kinds, sealers, exports in folders of their own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { exportAudit } from '../../src/audit/export.ts';
import { openSealer, type SealRun } from '../../src/audit/seal.ts';
import { Tampered, type Verified, type VerifyOptions, verifyAudit } from '../../src/audit/verify.ts';
import type { AuditDraft } from '../../src/core/audit.ts';
import type { Kek } from '../../src/keys/kek.ts';
import type { Store } from '../../src/store/store.ts';
import { ref } from '../store/fixtures.ts';

export const KEK: Kek = { id: 'kek-1', key: new Uint8Array(32).fill(7) };

/** Text that JSON escapes, text that looks like JSON, numbers of all sizes. */
const ODD: readonly AuditDraft[] = [
  {
    type: 'client.found',
    client: ref('a'),
    rotation: null,
    actor: 'é "why" \\ \n',
    reason: '","hash":"0","x":"',
    data: {},
  },
  {
    ...{
      type: 'rotation.failed',
      client: ref('b'),
      rotation: 'r1',
      actor: 'cli:a',
      claimed_by: 'os:a',
      reason: '\u2028 😀',
    },
    data: { z: 0, a: -1, kids: ['b', 'a'], none: null, yes: true, hash: 'f'.repeat(64), ms: 1_764_000_000_123 },
  },
];

export async function append(store: Pick<Store, 'append'>, count: number): Promise<void> {
  const drafts = Array.from({ length: count }, (_, index) => {
    const odd = ODD[index % 5];
    return odd ?? { ...(ODD[0] as AuditDraft), reason: `entry ${index}`, data: { index } }; // ODD is not empty
  });
  if (drafts.length > 0) await store.append(drafts);
}

/** Those of one holder share its lease, as a worker that was restarted would if it kept its name. */
export function sealerOf(store: Store, keks: readonly Kek[] = [KEK], holder = 'test'): () => Promise<SealRun> {
  return openSealer(store, { holder, leaseMs: 60_000, keks }).run;
}

/** Appends and seals in turn: a checkpoint after each of these numbers of entries. */
export async function grow(store: Store, counts: readonly number[], seal = sealerOf(store)): Promise<void> {
  for (const count of counts) {
    await append(store, count);
    const run = await seal();
    if (run.kind !== 'sealed') throw new Error(`not sealed: ${run.kind}`);
  }
}

export async function newFolder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'rekeyd-audit-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

export async function exported(store: Store, from?: number): Promise<string> {
  const dir = await newFolder();
  await exportAudit(store, dir, { from });
  return dir;
}

/** What the verifier says: what it verified, or the entry that it stops at and why. */
export async function verdict(
  dirs: string | readonly string[],
  options?: VerifyOptions,
): Promise<Verified | { readonly entry: number | null; readonly problem: string }> {
  try {
    return await verifyAudit([dirs].flat(), options);
  } catch (error) {
    if (!(error instanceof Tampered)) throw error;
    return { entry: error.entry, problem: error.message };
  }
}
