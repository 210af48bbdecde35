/** A certificate authority of a test, and certificates that it signed. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificate {
  /** PEM texts, and where they are. */
  readonly cert: string;
  readonly key: string;
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

/** In a temporary folder, which the caller removes. @throws where there is no openssl on the PATH */
export function makeAuthority(): Authority {
  const dir = mkdtempSync(join(tmpdir(), 'rekeyd-certificates-'));
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc'];
  openssl(
    'req',
    '-x509',
    ...newKey,
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
      openssl('req', ...newKey, '-keyout', keyFile, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
      writeFileSync(join(dir, `${name}.ext`), `subjectAltName=${names.join(',')}\n`);
      const by = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', `${name}.ext`];
      openssl('x509', '-req', '-in', `${name}.csr`, ...by, '-out', certFile, '-days', '2');
      return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8'), certFile, keyFile };
    },
  };
}
