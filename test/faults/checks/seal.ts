/**
 * The seal of the audit log, checked as docs/audit.md describes it, with none of rekeyd's code: the hash chain is computed anew, and every checkpoint is signed
 * by a key that the log names and fits the entries that it covers.
 */
import { createHash, createPublicKey, verify } from 'node:crypto';
import type { AuditLine } from '../evidence/evidence.ts';
import type { Check, Violation } from './checker.ts';

const NOTHING = '0'.repeat(64);

interface Covered {
  readonly seq: number;
  readonly hash: string;
}

export const sealHolds: Check = ({ audit }) => {
  const violations: Violation[] = [];
  const say = (rule: string, message: string) => void violations.push({ rule, ref: null, message });
  const hashes = new Map<number, string>();
  const publicKeys = new Map<string, string>();
  let prev = NOTHING;
  let last: Covered = { seq: 0, hash: NOTHING };
  let kid: unknown;

  for (const line of audit) {
    const { seq, type, data } = line;
    if (type === 'store.segment') {
      if (data.restart === true) prev = NOTHING;
      last = { seq: -1, hash: '' };
    }
    if (type === 'audit.sealed') {
      const problem = checkpointProblem(line, { hashes, publicKeys, last, kid });
      if (problem !== null) say('seal_broken', `checkpoint ${seq} ${problem}`);
      last = { seq: Number(data.seq), hash: String(data.hash) };
    }
    if (type === 'audit.key_rotated' && !isSigned(String(data.jws), publicKeys.get(String(data.before))))
      say('seal_broken', `entry ${seq} names a signing key that the one before it did not sign`);
    if (type === 'audit.key_created' || type === 'audit.key_rotated') {
      publicKeys.set(String(data.kid), String(data.x));
      kid = data.kid;
    }
    prev = hashOf(line, prev);
    hashes.set(seq, prev);
  }

  return violations;
};

interface Known {
  readonly hashes: ReadonlyMap<number, string>;
  /** By kid: `x` of the JWK. */
  readonly publicKeys: ReadonlyMap<string, string>;
  /** What the checkpoint before covers; a number below zero: another segment began. */
  readonly last: Covered;
  /** Of the key in force. */
  readonly kid: unknown;
}

function checkpointProblem({ seq, data }: AuditLine, { hashes, publicKeys, last, kid }: Known): string | null {
  if (data.kid !== kid) return `is signed with ${data.kid}, and ${kid} is in force`;
  const jws = String(data.jws);
  if (!isSigned(jws, publicKeys.get(String(kid)))) return 'has a signature that is not valid';
  const claims = JSON.parse(Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString());
  if (claims.seq !== data.seq || claims.hash !== data.hash) return 'is signed for another entry';
  if (Number(data.seq) >= seq) return 'covers itself';
  if (hashes.get(Number(data.seq)) !== data.hash) return `does not fit entry ${data.seq}`;
  if (last.seq < 0) return null;
  if (claims.previous_seq !== last.seq || claims.previous_hash !== last.hash)
    return `forgets the checkpoint of entry ${last.seq}`;
  return Number(data.seq) > last.seq ? null : 'covers nothing new';
}

/** A compact JWS (RFC 7515) with EdDSA. */
function isSigned(jws: string, x: string | undefined): boolean {
  const [head = '', payload = '', signature = ''] = jws.split('.');
  if (x === undefined || JSON.parse(Buffer.from(head, 'base64url').toString()).alg !== 'EdDSA') return false;
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  return verify(null, Buffer.from(`${head}.${payload}`), key, Buffer.from(signature, 'base64url'));
}

function hashOf({ seq, at, draft }: AuditLine, prev: string): string {
  const entry = { ...JSON.parse(draft), seq, time: new Date(at).toISOString(), prev };
  return createHash('sha256').update(sorted(entry)).digest('hex');
}

function sorted(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}
