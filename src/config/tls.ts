/** Settings about TLS: certificates and keys as PEM texts behind references. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import * as field from './fields.ts';
import { section, text } from './fields.ts';
import type { RedisTlsConfig } from './model.ts';
import { Secret } from './secret.ts';
import { publicly, type Sources } from './secrets.ts';

export function redisTls(sources: Sources) {
  const open = publicly(sources);
  return section({
    ca: field.secret('PEM of the certificate authorities to trust.', open, certificates).optional(),
    cert: field.secret('PEM of our certificate, where the server asks for one.', open, certificates).optional(),
    key: field.secret('PEM of its private key.', sources, privateKey).optional(),
    servername: serverName().optional(),
  }).transform(
    ({ ca = null, cert = null, key = null, servername = null }): RedisTlsConfig => ({ ca, cert, key, servername }),
  );
}

/** The PEM of each certificate in a file that may hold other things beside them. */
export function certificatesIn(pem: string): readonly string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

export function certificates(pem: string): Secret | string {
  const found = certificatesIn(pem);
  try {
    for (const one of found) new X509Certificate(one);
  } catch {
    return 'does not lead to a certificate that can be read: store it as PEM (-----BEGIN CERTIFICATE-----)';
  }
  return found.length > 0
    ? new Secret(pem)
    : 'does not lead to a certificate: store it as PEM (-----BEGIN CERTIFICATE-----)';
}

export function privateKey(pem: string): Secret | string {
  try {
    createPrivateKey(pem);
    return new Secret(pem);
  } catch {
    return 'does not lead to a private key: store it as PEM without a passphrase (-----BEGIN PRIVATE KEY-----)';
  }
}

function serverName() {
  const expected = 'the host name that the certificate has, such as redis.example.com';
  return text({ description: 'Name that the certificate must have; absent: the host.' }, expected, (value, refuse) =>
    /^(?!\d+(\.\d+)*$)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(value)
      ? value
      : refuse(`is not a host name: write ${expected}`),
  );
}

/** What is wrong between the settings. */
export function tlsProblems({
  cert,
  key,
}: Pick<RedisTlsConfig, 'cert' | 'key'>): readonly { readonly path: string[]; readonly message: string }[] {
  if (cert === null && key === null) return [];
  if (key === null) return [{ path: ['cert'], message: 'has no key: write key: file:PATH beside it' }];
  if (cert === null) return [{ path: ['key'], message: 'has no certificate: write cert: file:PATH beside it' }];
  // The first certificate is ours; others may follow that it was signed with.
  const matches = new X509Certificate(cert.reveal()).checkPrivateKey(createPrivateKey(key.reveal()));
  return matches
    ? []
    : [{ path: ['key'], message: 'does not belong to the certificate: write the key that it was made with' }];
}
