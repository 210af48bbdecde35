/** One private key in the forms in which people find it. */
import type { KeyObject } from 'node:crypto';

export interface Encoding {
  readonly name: string;
  encode(key: KeyObject): string | Uint8Array;
}

const pkcs8 = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString();
const der = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'der' });
const jwk = (key: KeyObject) => key.export({ format: 'jwk' });

/** The older form of a kind; there is none for Ed25519. */
function traditional(key: KeyObject): string {
  if (key.asymmetricKeyType === 'ec') return key.export({ type: 'sec1', format: 'pem' }).toString();
  return key.asymmetricKeyType === 'rsa' ? key.export({ type: 'pkcs1', format: 'pem' }).toString() : pkcs8(key);
}

export const ENCODINGS: readonly Encoding[] = [
  { name: 'PKCS#8', encode: pkcs8 },
  {
    name: 'PKCS#1 or SEC1 within text',
    encode: (key) => `from a paste:\r\n${traditional(key).replaceAll('\n', '\r\n')}-- \r\nbye`,
  },
  { name: 'a PEM on one line', encode: (key) => `KEY="${pkcs8(key).replaceAll('\n', ' ')}"` },
  {
    name: 'a PEM in an environment file',
    encode: (key) => `A=1\nPRIVATE_KEY="${pkcs8(key).replaceAll('\n', '\\n')}"\nB=2`,
  },
  {
    name: 'a service account',
    encode: (key) => JSON.stringify({ type: 'service_account', private_key: pkcs8(key) }, null, 2),
  },
  { name: 'a JWK', encode: (key) => JSON.stringify({ ...jwk(key), kid: 'k', x5c: null }) },
  {
    name: 'a JWK Set within a log line',
    encode: (key) => `12:00 loaded {"keys":[${JSON.stringify(jwk(key))}]} from disk`,
  },
  { name: 'DER', encode: der },
  { name: 'base64 of DER, wrapped', encode: (key) => der(key).toString('base64').replace(/.{76}/g, '$&\n') },
  {
    name: 'a secret of Kubernetes',
    encode: (key) => `data:\n  tls.key: ${Buffer.from(pkcs8(key)).toString('base64')}\n`,
  },
  { name: 'hex of DER', encode: (key) => der(key).toString('hex') },
  { name: 'UTF-16', encode: (key) => Buffer.from(`\uFEFF${pkcs8(key)}`, 'utf16le') },
  { name: 'a diff', encode: (key) => `@@ -0,0 +1,5 @@\n${pkcs8(key).replace(/^(?=.)/gm, '+')}` },
  { name: 'a form', encode: (key) => `name=x&key=${encodeURIComponent(pkcs8(key))}` },
];
