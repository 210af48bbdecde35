/** The forms in which a server may show one and the same public key. */
import { createPublicKey, ECDH, type KeyObject } from 'node:crypto';
import type { PublicJwk } from '../../src/core/document.ts';

export interface Form {
  readonly what: string;
  readonly jwk: PublicJwk;
}

/** DER (X.690): a tag, the length of what follows, and that. */
export function der(tag: number, ...parts: readonly (Buffer | string)[]): Buffer {
  const content = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'hex') : part)));
  const { length } = content;
  const long = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...long]), content]);
}

export const sequence = (...parts: readonly (Buffer | string)[]) => der(0x30, ...parts);
export const integer = (hex: string) => der(0x02, hex);
const bits = (...parts: readonly (Buffer | string)[]) => der(0x03, '00', ...parts);

const EC_PUBLIC_KEY = '06072a8648ce3d0201';
const P256 = '06082a8648ce3d030107';

/** P-256 (SEC 2 section 2.4.2): the prime, its two coefficients, the base point, and the order. */
const PRIME = 'ffffffff00000001000000000000000000000000ffffffffffffffffffffffff';
const A = 'ffffffff00000001000000000000000000000000fffffffffffffffffffffffc';
const B = '5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b';
const BASE =
  '046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5';
const ORDER = 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551';

/** A curve that is written out, where others name it (RFC 3279 section 2.3.5). */
const EXPLICIT_P256 = sequence(
  integer('01'),
  sequence('06072a8648ce3d0101', integer(`00${PRIME}`)),
  sequence(der(0x04, A), der(0x04, B)),
  der(0x04, BASE),
  integer(`00${ORDER}`),
  integer('01'),
);

/** An X.509 certificate with that key. Nobody looks at its signature. */
export function certificate(key: KeyObject): Buffer {
  const ecdsaWithSha256 = sequence('06082a8648ce3d040302');
  const name = sequence(der(0x31, sequence('0603550403', der(0x0c, Buffer.from('client')))));
  const day = (text: string) => der(0x17, Buffer.from(text));
  const spki = key.export({ type: 'spki', format: 'der' });
  const validity = sequence(day('260101000000Z'), day('460101000000Z'));
  const body = sequence(integer('01'), ecdsaWithSha256, name, validity, name, spki);
  return sequence(body, ecdsaWithSha256, bits(sequence(integer('01'), integer('01'))));
}

export function pemOf(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}

/** As Wacht shows what was registered as `public_key_pem`. */
function asPem(text: string): PublicJwk {
  return { kty: 'PEM', public_key_pem: text };
}

const bytesOf = (member: string) => Buffer.from(member, 'base64url');
const withSignByte = (member: string) => Buffer.concat([Buffer.alloc(1), bytesOf(member)]).toString('base64url');

/** @param key of an RSA or P-256 pair */
export function formsOf(key: KeyObject): readonly Form[] {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const jwk = publicKey.export({ format: 'jwk' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const cert = certificate(publicKey);
  const common: Form[] = [
    { what: 'SubjectPublicKeyInfo', jwk: asPem(pemOf('PUBLIC KEY', spki)) },
    { what: 'SubjectPublicKeyInfo on one line', jwk: asPem(pemOf('PUBLIC KEY', spki).replaceAll('\n', ' ')) },
    { what: 'certificate', jwk: asPem(pemOf('CERTIFICATE', cert)) },
    { what: 'certificate in x5c', jwk: { kty: `${jwk.kty}`, x5c: [cert.toString('base64')] } },
  ];
  return [...common, ...(jwk.kty === 'RSA' ? rsaForms(publicKey) : ecForms(publicKey))];
}

function rsaForms(key: KeyObject): readonly Form[] {
  const { n = '', e = '' } = key.export({ format: 'jwk' });
  const pkcs1 = key.export({ type: 'pkcs1', format: 'pem' }).toString();
  return [
    { what: 'JWK', jwk: { kty: 'RSA', n, e } },
    { what: 'JWK with a sign byte', jwk: { kty: 'RSA', n: withSignByte(n), e } },
    { what: 'JWK with padding', jwk: { kty: 'RSA', n: `${n}==`, e } },
    { what: 'JWK in plain base64', jwk: { kty: 'RSA', n: bytesOf(n).toString('base64'), e } },
    { what: 'JWK with e of four bytes', jwk: { kty: 'RSA', n, e: withSignByte(e) } },
    { what: 'PKCS#1', jwk: asPem(pkcs1) },
  ];
}

function ecForms(key: KeyObject): readonly Form[] {
  const { x = '', y = '' } = key.export({ format: 'jwk' });
  const point = Buffer.concat([Buffer.from([4]), bytesOf(x), bytesOf(y)]);
  const compressed = ECDH.convertKey(point, 'prime256v1', undefined, undefined, 'compressed') as Buffer; // without an encoding
  const spki = (curve: Buffer | string, at: Buffer) => sequence(sequence(EC_PUBLIC_KEY, curve), bits(at));
  return [
    { what: 'JWK', jwk: { kty: 'EC', crv: 'P-256', x, y } },
    { what: 'JWK with padding', jwk: { kty: 'EC', crv: 'P-256', x: `${x}=`, y: `${y}=` } },
    { what: 'compressed point', jwk: asPem(pemOf('PUBLIC KEY', spki(P256, compressed))) },
    { what: 'curve written out', jwk: asPem(pemOf('PUBLIC KEY', spki(EXPLICIT_P256, point))) },
  ];
}
