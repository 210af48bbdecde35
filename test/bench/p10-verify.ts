/** `audit verify` of a long log: beside hashing its lines and checking its signatures alone, and in how much memory. */
import { hash as digest, verify } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hashOf, type Link, lineOf, NO_HASH } from '../../src/audit/chain.ts';
import { checkpointDraft, createdDraft, publicKeyOf } from '../../src/audit/checkpoint.ts';
import { newSealKey, type SealKey } from '../../src/audit/seal-key.ts';
import { verifyAudit } from '../../src/audit/verify.ts';
import type { AuditDraft } from '../../src/core/audit.ts';
import { peakOfCommand } from './command.ts';
import { type Figure, judge, medians, type Result } from './figure.ts';
import { inTemporaryFolder } from './temporary.ts';

const ENTRIES = 1_000_000;
const PER_CHECKPOINT = 500;
const PER_FILE = 10_000;

interface Round {
  readonly verify: number;
  readonly bare: number;
}

export const p10Verify: Figure = {
  ids: ['P10-verify', 'P10-verify-memory'],
  async measure({ rounds, quick }): Promise<readonly Result[]> {
    const entries = quick ? ENTRIES / 50 : ENTRIES;
    return inTemporaryFolder(async (folder) => {
      const key = await newSealKey([{ id: 'bench', key: new Uint8Array(32) }]);
      await writeLog(folder, key, entries);
      const all: Round[] = [];
      const peaks: number[] = [];
      for (let round = 0; round < rounds; round += 1) {
        const startedAt = performance.now();
        const { last } = await verifyAudit([folder]);
        if (last !== entries) throw new Error(`${last} entries were verified, and not ${entries}`);
        all.push({ verify: (performance.now() - startedAt) / 1000, bare: await bare(folder, key) });
        peaks.push(await peakOfCommand({ config: 'none', env: {} }, 'audit', 'verify', folder));
      }
      const what = `audit verify of ${entries} entries ÷ hashing them and checking the signatures of their checkpoints alone`;
      const ratio = { id: 'P10-verify', what, unit: 'ratio', bound: 'most', goal: 3, baseline: medians(all) } as const;
      const memory = {
        id: 'P10-verify-memory',
        what: 'memory of audit verify, at most',
        unit: 'MiB',
        goal: 200,
      } as const;
      return [
        judge(
          ratio,
          all.map((one) => one.verify / one.bare),
        ),
        judge({ ...memory, baseline: { entries } }, peaks),
      ];
    });
  },
};

/** A log as a fleet of rotations leaves it, with a checkpoint every 500 entries. */
async function writeLog(folder: string, key: SealKey, entries: number): Promise<void> {
  await writeFile(join(folder, `audit-key-${key.kid}.pem`), publicKeyOf(key.x).export({ type: 'spki', format: 'pem' }));
  let [last, sealed]: Link[] = [
    { seq: 0, hash: NO_HASH },
    { seq: 0, hash: NO_HASH },
  ];
  let lines: string[] = [];
  while (last !== undefined && last.seq < entries) {
    const seq: number = last.seq + 1;
    let draft: AuditDraft = seq === 1 ? createdDraft(key) : draftOf(seq);
    if (seq % PER_CHECKPOINT === 0) {
      draft = await checkpointDraft({ store: 'bench', segment: 1, ...last, previous: sealed ?? last }, key);
      sealed = last;
    }
    const entry = { seq, time: new Date(1.8e12 + seq * 100).toISOString(), ...draft };
    const linked = { seq, entry, prev: last.hash, hash: hashOf(entry, last.hash) };
    lines.push(`${lineOf(linked)}\n`);
    last = linked;
    if (lines.length < PER_FILE && seq < entries) continue;
    await writeFile(join(folder, `audit-${String(seq - lines.length + 1).padStart(12, '0')}.jsonl`), lines.join(''));
    lines = [];
  }
}

function draftOf(seq: number): AuditDraft {
  const kid = digest('sha256', String(seq), 'base64url');
  return {
    type: 'key.published',
    client: `185019846023/mcp-auth/${seq % 2_000}` as NonNullable<AuditDraft['client']>, // as references are written
    rotation: `r${kid.slice(0, 20)}`,
    actor: 'schedule:default',
    reason: 'the key in use is 30 d old, and rotate_every is 30d',
    data: { kids: [kid], status: 200, duration_ms: seq % 900, strategy: 'overlap' },
  };
}

/** In s. Reading the files does not count. */
async function bare(folder: string, { x }: SealKey): Promise<number> {
  const key = publicKeyOf(x);
  let ms = 0;
  for (const name of (await readdir(folder)).filter((file) => file.endsWith('.jsonl'))) {
    const lines = (await readFile(join(folder, name), 'utf8')).trimEnd().split('\n');
    const signed = lines.flatMap((line) => {
      const [, head, signature] = /"jws":"([\w-]+\.[\w-]+)\.([\w-]+)"/.exec(line) ?? [];
      return head === undefined ? [] : [[Buffer.from(head), Buffer.from(signature ?? '', 'base64url')] as const];
    });
    const startedAt = performance.now();
    for (const line of lines) digest('sha256', line);
    for (const [head, signature] of signed) if (!verify(null, head, key, signature)) throw new Error('not signed');
    ms += performance.now() - startedAt;
  }
  return ms / 1000;
}
