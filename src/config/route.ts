/** The way to a server over HTTP: a proxy, and certificate authorities that are trusted beside those that Node trusts. */
import { X509Certificate } from 'node:crypto';
import { text } from './fields.ts';
import type { ProxyConfig } from './model.ts';
import { Secret } from './secret.ts';
import { publicly, readReference, type Sources } from './secrets.ts';
import { certificatesIn } from './tls.ts';

const EXPECTED =
  'env, none, a URL such as http://proxy.example.com:3128, or env:NAME or file:PATH where it has a password';

/** `env` (HTTPS_PROXY and NO_PROXY) | `none` | URL. Null: no proxy. */
export function proxy(description: string, sources: Sources) {
  return text({ description }, EXPECTED, async (value, refuse): Promise<ProxyConfig | null> => {
    if (value === 'none') return null;
    if (value === 'env') {
      const found = fromEnv(sources.env, 'HTTPS_PROXY');
      if (found === '') return null;
      const url = proxyUrl(found);
      return url === null
        ? refuse(`the environment variable HTTPS_PROXY ${NO_PROXY_URL}, or set proxy: none`)
        : { url: new Secret(url.href), noProxy: fromEnv(sources.env, 'NO_PROXY') };
    }
    if (/^(env|file):/.test(value)) {
      const found = await readReference(value, sources);
      if ('problem' in found) return refuse(found.problem);
      const url = proxyUrl(found.text);
      return url === null ? refuse(`leads to what ${NO_PROXY_URL}`) : { url: new Secret(url.href), noProxy: '' };
    }
    const url = proxyUrl(value);
    if (url === null || !value.includes('://')) return refuse(`is not a proxy: write ${EXPECTED}`);
    if (url.username !== '' || url.password !== '')
      return refuse(
        'must not hold a user or password: store the URL in a file or a variable, and write file:PATH or env:NAME',
      );
    return { url: new Secret(url.href), noProxy: '' };
  });
}

const NO_PROXY_URL = 'is not the URL of a proxy: write http://host:port or https://host:port there';

/** As curl has it: the name in small letters comes first. */
function fromEnv(env: Sources['env'], name: string): string {
  const own = (key: string) => (Object.hasOwn(env, key) ? env[key] : undefined);
  return (own(name.toLowerCase()) ?? own(name) ?? '').trim();
}

/** `host:port` alone is one too, as in the environment of many machines. */
function proxyUrl(value: string): URL | null {
  const url = URL.parse(value.includes('://') ? value : `http://${value}`);
  const isProxy = url !== null && /^https?:$/.test(url.protocol) && url.hostname !== '';
  return isProxy && url.pathname === '/' && url.search === '' && url.hash === '' ? url : null;
}

/** PEM certificates of authorities. */
export function authorities(description: string, sources: Sources) {
  const about = { description, pattern: '^file:.+$' };
  return text(about, 'file:PATH of PEM certificates', async (value, refuse): Promise<readonly string[]> => {
    if (!value.startsWith('file:')) return refuse('is not a file reference: write file:PATH of PEM certificates');
    const found = await readReference(value, publicly(sources));
    if ('problem' in found) return refuse(found.problem);
    const certificates = certificatesIn(found.text);
    if (certificates.length > 0 && certificates.every(isCertificate)) return certificates;
    return refuse(
      'leads to a file without a certificate, or with one that cannot be read: put the certificate of the authority there, as PEM (-----BEGIN CERTIFICATE-----)',
    );
  });
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}
