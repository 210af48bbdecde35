/** A certificate authority of a test, and certificates that it signed; or one that stands for itself. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** PEM texts. */
export interface Certified {
  readonly cert: string;
  readonly key: string;
}

export interface Certificate extends Certified {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface Authority {
  readonly ca: string;
  readonly caFile: string;
  readonly dir: string;
  /** @param names what it is good for, as `DNS:redis.test` or `IP:127.0.0.1` */
  issue(name: string, names: readonly string[]): Certificate;
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc'];

/** One that is its own authority. @param names such as `DNS:auth.example.com` or `IP:::1` */
export function certificateFor(...names: readonly string[]): Certified {
  const dir = mkdtempSync(join(tmpdir(), 'rekeyd-certificates-'));
  try {
    const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
    const subject = ['-subj', '/CN=test', '-addext', `subjectAltName=${names.join(',')}`];
    const out = ['-keyout', key, '-out', cert];
    execFileSync('openssl', ['req', '-x509', '-days', '2', ...NEW_KEY, ...subject, ...out], { stdio: 'pipe' });
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** In a temporary folder, which the caller removes. @throws where there is no openssl on the PATH */
export function makeAuthority(): Authority {
  const dir = mkdtempSync(join(tmpdir(), 'rekeyd-certificates-'));
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' });
  openssl(
    'req',
    '-x509',
    ...NEW_KEY,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-subj',
    '/CN=test authority',
    '-days',
    '2',
  );
  return {
    ca: readFileSync(join(dir, 'ca.pem'), 'utf8'),
    caFile: join(dir, 'ca.pem'),
    dir,
    issue(name, names) {
      const [keyFile, certFile] = [join(dir, `${name}.key`), join(dir, `${name}.pem`)];
      openssl('req', ...NEW_KEY, '-keyout', keyFile, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
      writeFileSync(join(dir, `${name}.ext`), `subjectAltName=${names.join(',')}\n`);
      const by = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', `${name}.ext`];
      openssl('x509', '-req', '-in', `${name}.csr`, ...by, '-out', certFile, '-days', '2');
      return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8'), certFile, keyFile };
    },
  };
}
