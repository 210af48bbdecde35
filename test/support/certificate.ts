/** A certificate of its own authority, for a test that needs TLS. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Certificate {
  /** Both PEM. */
  readonly key: string;
  readonly cert: string;
}

/** @param names such as `DNS:auth.example.com` or `IP:::1` */
export async function certificateFor(...names: readonly string[]): Promise<Certificate> {
  const dir = await mkdtemp(join(tmpdir(), 'rekeyd-tls-'));
  try {
    const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
    const pair = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key];
    const subject = ['-subj', '/CN=test', '-addext', `subjectAltName=${names.join(',')}`];
    await promisify(execFile)('openssl', ['req', '-x509', '-days', '2', ...pair, ...subject, '-out', cert]);
    return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
