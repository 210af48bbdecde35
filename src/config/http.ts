/** The section `http`: where rekeyd listens, how it shows who it is, and what certificates of callers may do. */
import { z } from 'zod';
import { isLoopback } from '../core/host.ts';
import { SCOPES } from '../core/token.ts';
import { LISTEN } from './defaults.ts';
import * as field from './fields.ts';
import { choice, count, duration, list, section, text } from './fields.ts';
import type { HttpConfig, HttpTlsConfig } from './model.ts';
import type { Sources } from './secrets.ts';
import { certificates, privateKey, tlsProblems } from './tls.ts';

/** For a config of an earlier version, in which this setting named a file of tokens. */
const NO_TOKENS =
  'is no setting any more: tokens live in the store. Remove this line, and make them with `rekeyd token create NAME --scope read`';

export function http(sources: Sources) {
  const rate = section({
    max: count('Requests of one token in the time of `per`.', 1, 1_000_000).prefault(100),
    per: duration('The time that `max` counts in. Each worker counts for itself.').prefault('1s'),
  });
  return section({
    listen: field.listenAddress('host:port of the API.').prefault(LISTEN),
    public: field
      .listenAddress('host:port where only probes, metrics and public JWK Sets are served, without TLS.')
      .optional(),
    tls: tls(sources).describe('Absent: the API is served without TLS.').optional(),
    certificates: list(certificateRule(), 'certificate')
      .describe('Callers that show a certificate by client_ca in place of a token, and what they may do.')
      .optional(),
    rate_limit: rate.prefault({}).describe('How many requests one token may send.'),
    tokens: z.never({ error: NO_TOKENS }).optional(),
  }).transform(({ tokens: _, public: open, tls = null, certificates: rules = [], ...input }, context): HttpConfig => {
    if (rules.length > 0 && tls?.clientCa == null) {
      const message = 'has no use without an authority: write tls: { client_ca: file:PATH } beside it';
      context.addIssue({ code: 'custom', path: ['certificates'], message });
    }
    const { listen, rate_limit } = input;
    return {
      listen,
      publicListen: open ?? null,
      tls,
      certificates: rules,
      rate: { max: rate_limit.max, perMs: rate_limit.per },
    };
  });
}

function tls(sources: Sources) {
  return section({
    cert: field.secret('PEM of our certificate and its intermediates.', sources, certificates),
    key: field.secret('PEM of its private key.', sources, privateKey),
    client_ca: field
      .secret('PEM of the authorities that sign the certificates of callers.', sources, certificates)
      .optional(),
  }).transform(({ cert, key, client_ca = null }, context): HttpTlsConfig => {
    for (const { path, message } of tlsProblems({ cert, key })) context.addIssue({ code: 'custom', path, message });
    return { cert, key, clientCa: client_ca };
  });
}

function certificateRule() {
  const name = text(
    { description: 'A DNS name or URI in the certificate.' },
    'a name such as siem.example.com',
    (value, refuse) =>
      /^[^\s",]{1,255}$/.test(value) ? value : refuse('is not a name: write one such as siem.example.com'),
  );
  const only = field.reach('The only app, or the only client, that it may touch. Absent: all.');
  const scopes = list(choice('A scope.', SCOPES), 'scope').describe('What a caller with it may do.');
  return section({ name, scopes, only: only.optional() }).transform(({ only = null, ...rule }) => ({ ...rule, only }));
}

/** What is wrong, and what to write, where tokens cross the network in clear. Null: they do not. */
export function exposedTokens({ listen, tls }: HttpConfig): string | null {
  if (tls !== null || isLoopback(listen.host)) return null;
  return 'takes tokens where everybody on the network can read them: write http.tls, or listen on 127.0.0.1 behind a proxy that speaks TLS';
}
