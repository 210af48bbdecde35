/**
 * Who sends a report, where it is signed. Sources: GitHub, "Secret scanning partner program"; GitLab, "Automatic response to leaked secrets", partner API;
 * GitGuardian, "Custom webhook".
 */
import { createHmac, timingSafeEqual, verify } from 'node:crypto';
import { messageOf } from '../errors.ts';
import type { KeyPlace, ScannerKeys } from './scanner-keys.ts';

const SCANNERS = ['github', 'gitlab', 'gitguardian'] as const;

export type Scanner = (typeof SCANNERS)[number];

type Headers = Readonly<Record<string, string | undefined>>;

const SIGNATURE: Readonly<Record<Scanner, string>> = {
  github: 'github-public-key-signature',
  gitlab: 'gitlab-public-key-signature',
  gitguardian: 'gitguardian-signature',
};

const IDENTIFIER = { github: 'github-public-key-identifier', gitlab: 'gitlab-public-key-identifier' } as const;

/** By its signature, which nobody has checked yet; null: it has none. @param headers with lower-case names */
export function scannerOf(headers: Headers): Scanner | null {
  return SCANNERS.find((scanner) => headers[SIGNATURE[scanner]] !== undefined) ?? null;
}

/** What is known of the scanners; null: its reports are not taken. */
export interface ScannerTrust {
  readonly github: KeyPlace | null;
  readonly gitlab: KeyPlace | null;
  readonly gitguardian: { readonly secret: { reveal(): string } } | null;
}

export interface Signed {
  readonly headers: Headers;
  /** As it came: a JSON that is written anew is another text. */
  readonly body: Uint8Array;
  /** ms since the epoch */
  readonly now: number;
}

/** `unknown`: it cannot be told now. `why` is for the sender, and never says more than the report itself. */
export type SignatureVerdict =
  | { readonly is: 'valid' }
  | { readonly is: 'refused'; readonly why: string }
  | { readonly is: 'unknown'; readonly why: string; readonly cause: string };

const VALID = { is: 'valid' } as const;

export async function checkSignature(
  scanner: Scanner,
  signed: Signed,
  trust: ScannerTrust,
  keys: ScannerKeys,
): Promise<SignatureVerdict> {
  if (scanner === 'gitguardian') {
    return trust.gitguardian === null ? notTaken(scanner) : checkHmac(signed, trust.gitguardian.secret.reveal());
  }
  const place = trust[scanner];
  return place === null ? notTaken(scanner) : checkKey(scanner, signed, place, keys);
}

function notTaken(scanner: Scanner): SignatureVerdict {
  return refused(`Reports of ${scanner} are not taken here: the config has no leaks.${scanner}.`);
}

function refused(why: string): SignatureVerdict {
  return { is: 'refused', why };
}

const WRONG = 'The signature of this report is not that of its body.';

async function checkKey(
  scanner: 'github' | 'gitlab',
  { headers, body }: Signed,
  place: KeyPlace,
  keys: ScannerKeys,
): Promise<SignatureVerdict> {
  const identifier = headers[IDENTIFIER[scanner]];
  const signature = headers[SIGNATURE[scanner]];
  if (identifier === undefined || signature === undefined) return refused(WRONG);
  try {
    const key = await keys.keyOf(place, identifier);
    if (key === null) return refused(`${scanner} publishes no key of this identifier.`);
    return isSignedBy(key, body, signature) ? VALID : refused(WRONG);
  } catch (error) {
    const why = `The keys of ${scanner} cannot be read now: send the report again later.`;
    return { is: 'unknown', why, cause: messageOf(error) };
  }
}

/** ECDSA over P-256 and SHA-256, in DER and base64. GitLab does not document its kind of key: it is what it publishes. */
function isSignedBy(key: Parameters<typeof verify>[2], body: Uint8Array, signature: string): boolean {
  try {
    return verify('sha256', body, key, Buffer.from(signature, 'base64'));
  } catch {
    return false;
  }
}

/** How far the time of a report may be from ours, in ms: somebody who got hold of one cannot send it again later. */
const MOST_APART_MS = 300_000;

/** The key of the HMAC is the timestamp with the secret behind it. */
function checkHmac({ headers, body, now }: Signed, secret: string): SignatureVerdict {
  const [, given = ''] = /^sha256=([0-9a-f]{64})$/i.exec(headers[SIGNATURE.gitguardian] ?? '') ?? [];
  const { timestamp = '' } = headers;
  const wanted = createHmac('sha256', `${timestamp}${secret}`).update(body).digest();
  const got = Buffer.from(given, 'hex');
  if (got.length !== wanted.length || !timingSafeEqual(got, wanted)) return refused(WRONG);
  const at = /^\d+(?:\.\d+)?$/.test(timestamp) ? Number(timestamp) * 1000 : Date.parse(timestamp);
  if (Math.abs(now - at) <= MOST_APART_MS) return VALID;
  return refused('The time of this report is more than five minutes from ours.');
}
