/** Private keys as PEM (RFC 7468), and what else stands between such lines. */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import type { RekeydError } from '../errors.ts';
import { roundsOf } from './der.ts';
import { invalid, parse, publicOnly } from './invalid.ts';

export interface Block {
  readonly label: string;
  /** What stands between its two lines. */
  readonly body: string;
}

const MARK = /-----(BEGIN|END) ([A-Z0-9 ]{1,40})-----/g;

/** Text before, between and after the blocks is skipped (RFC 7468 section 2). Takes the same time for each character, whatever stands there. */
export function blocksOf(text: string): { readonly blocks: readonly Block[]; readonly isCutOff: boolean } {
  const blocks: Block[] = [];
  let open: { readonly label: string; readonly from: number } | null = null;
  let isCutOff = false;
  for (const { 0: line, 1: kind, 2: label = '', index } of text.matchAll(MARK)) {
    if (kind === 'BEGIN') {
      isCutOff ||= open !== null;
      open = { label, from: index + line.length };
    } else if (open?.label === label) {
      blocks.push({ label, body: text.slice(open.from, index) });
      open = null;
    }
  }
  return { blocks, isCutOff: isCutOff || open !== null };
}

/** @throws RekeydError `key_invalid` */
export function keyFromPem(text: string, passphrase: Uint8Array | undefined): KeyObject {
  const { blocks, isCutOff } = blocksOf(text);
  const keys = blocks.filter(({ label }) => label.endsWith('PRIVATE KEY'));
  const [only, ...others] = keys;
  if (only === undefined) throw withoutKey(blocks, isCutOff);
  if (others.length > 0) {
    throw invalid(`The PEM holds ${keys.length} private keys`, 'Give a file with the one that the client signs with');
  }
  if (only.label === 'OPENSSH PRIVATE KEY') {
    throw invalid('This is an OpenSSH key', 'Convert a copy of the file: `ssh-keygen -p -m PKCS8 -f COPY`');
  }
  return isEncrypted(only) ? decrypted(only, passphrase) : parse(() => createPrivateKey(wrapped(only)));
}

/** @param bytes DER that this label names */
export function keyFromDer(label: string, bytes: Uint8Array, passphrase: Uint8Array | undefined): KeyObject {
  return keyFromPem(wrapped({ label, body: viewOf(bytes).toString('base64') }), passphrase);
}

/** The same bytes, not copied: a copy would have to be cleared, too. */
function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** Headers, as in encrypted PEM of the old kind (RFC 1421 section 4.6.1.1). */
const ENCRYPTED_HEADER = /^Proc-Type:\s*4,\s*ENCRYPTED/m;

export function isEncrypted({ label, body }: Block): boolean {
  return label === 'ENCRYPTED PRIVATE KEY' || ENCRYPTED_HEADER.test(body);
}

/** A file may ask for rounds that take hours. 600,000 are usual; five million take seconds. */
const MOST_ROUNDS = 5_000_000;

function decrypted(block: Block, passphrase: Uint8Array | undefined): KeyObject {
  if (passphrase === undefined) {
    throw invalid(
      'The PEM is encrypted with a passphrase',
      'Name a file with the passphrase (--passphrase-file), or decrypt the PEM first: `openssl pkey -in FILE`',
    );
  }
  const isOld = ENCRYPTED_HEADER.test(block.body);
  if (!isOld && roundsOf(Buffer.from(joined(block.body), 'base64')) > MOST_ROUNDS) {
    throw invalid(
      'The PEM is damaged, or opening it would take too long',
      `Encrypt it with at most ${MOST_ROUNDS} rounds, or decrypt it first: \`openssl pkey -in FILE\``,
    );
  }
  const key = isOld ? `-----BEGIN ${block.label}-----${block.body}-----END ${block.label}-----\n` : wrapped(block);
  try {
    return createPrivateKey({ key, format: 'pem', passphrase: viewOf(passphrase) });
  } catch {
    throw invalid(
      'The PEM cannot be opened with this passphrase',
      'Check the passphrase file. If it is right, the PEM is damaged, or its cipher is too old: decrypt it with the program that wrote it',
    );
  }
}

/** A PEM that went through an environment variable or a JSON text may have no line breaks, or two characters in place of each. */
function joined(body: string): string {
  return body.replaceAll(/\\[nr]/g, '').replaceAll(/\s+/g, '');
}

/** OpenSSL wants line breaks. */
export function wrapped({ label, body }: Block): string {
  const lines = joined(body).match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}

/** What to say of blocks none of which is a private key. */
function withoutKey(blocks: readonly Block[], isCutOff: boolean): RekeydError {
  const has = (pattern: RegExp) => blocks.some(({ label }) => pattern.test(label));
  if (isCutOff) return invalid('The PEM is cut off: its END line is missing', 'Copy the whole file again');
  if (has(/^PGP /)) return invalid('This is an OpenPGP key', 'Give the key that the client signs with, as PKCS#8 PEM');
  if (has(/CERTIFICATE REQUEST$/)) return publicOnly('This is a certificate request, which holds a public key only');
  if (has(/CERTIFICATE$/)) return publicOnly('This is a certificate, which holds a public key only');
  if (has(/PUBLIC KEY$/)) return publicOnly();
  if (blocks.length > 0) return invalid('This PEM holds no key', 'Give a file with "BEGIN PRIVATE KEY"');
  return invalid('This is neither a PEM nor a JWK', 'Give a PEM file with "BEGIN PRIVATE KEY", or a private JWK');
}
