/**
 * How a disposable client is told from all others: by its redirect URI, which each client of Wacht must have, and which the list shows. Its host exists nowhere
 * (RFC 6761 section 6.4), so nobody is ever sent there.
 */
const HOST = 'rekeyd-probe.invalid';

/** @param maker who may take the client for a leftover: letters, digits and `-` */
export function probeUri(maker: string, nonce: string): string {
  return `https://${HOST}/${maker}/${nonce}`;
}

/** The `maker` in the redirect URIs of a client, see {@link probeUri}; null when no probe made it. */
export function probeOf(redirectUris: unknown): string | null {
  for (const uri of Array.isArray(redirectUris) ? redirectUris : []) {
    const url = typeof uri === 'string' && uri.includes(HOST) ? URL.parse(uri) : null;
    if (url?.host === HOST) return url.pathname.split('/')[1] ?? '';
  }
  return null;
}
