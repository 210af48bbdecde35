/** Client certificates as an alternative to tokens: the TLS layer has checked who signed one, and the config says what its owner may do. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import type { CertificateConfig } from '../config/model.ts';
import { systemClock } from '../time.ts';
import type { Principal } from './principal.ts';

/** Null: there is no certificate, or none that the config knows. */
export function certificatePrincipal(socket: Socket, rules: () => readonly CertificateConfig[]): Principal | null {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return null;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return null;
  const names = namesIn(certificate.subjectAltName ?? '');
  const expiresAt = Date.parse(certificate.validTo);
  // A connection may last longer than its certificate, or than the rule.
  const ruleNow = () =>
    expiresAt > systemClock.now() ? (rules().find(({ name }) => names.includes(name)) ?? null) : null;
  const rule = ruleNow();
  if (rule === null) return null;
  return {
    claimedBy: `certificate:${rule.name}`,
    key: `certificate ${rule.name}`,
    scopes: rule.scopes,
    only: rule.only,
    // Values and not objects: a config that was read again has new objects.
    isValid: async () => isDeepStrictEqual(ruleNow(), rule),
  };
}

/** Node puts a name in quotes that could be taken for several: such a one matches no rule. */
function namesIn(alternatives: string): readonly string[] {
  return alternatives.split(', ').flatMap((one) => /^(?:DNS|URI):([^"]+)$/.exec(one)?.[1] ?? []);
}
