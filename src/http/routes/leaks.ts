/** Keys that were found where they must not be. */
import { z } from 'zod';
import { hasCode, messageOf } from '../../errors.ts';
import { findKeys, MOST_PARTS } from '../../leaks/find-keys.ts';
import { leakQuerySchema, leakSchema, placeIn, readLeak } from '../../leaks/report.ts';
import { checkSignature, type Scanner, scannerOf } from '../../leaks/signatures.ts';
import { systemClock } from '../../time.ts';
import { answerLeak, type LeakedClient, type LeakedItem, type LeakOutcome } from '../leaks.ts';
import { soon } from '../patience.ts';
import type { Principal } from '../principal.ts';
import { ProblemError } from '../problem.ts';
import { type Answer, type Call, publicRoute, type Route, signedRoute } from '../route.ts';
import { reference } from './schemas.ts';

const clientSchema = z.object({
  client: reference,
  client_id: z.string().describe('The OAuth client_id.'),
  kid: z.string().nullable(),
  state: z
    .enum(['pre-active', 'active', 'deactivated', 'compromised', 'destroyed', 'foreign'])
    .describe('Of the key. foreign: it is published, and not ours.'),
  reported: z.boolean().describe('It was reported as compromised before.'),
  by: z
    .enum(['key', 'kid', 'thumbprint', 'id', 'thumbprint_sha256'])
    .describe('What was given. id: the SHA-256 of its DER SubjectPublicKeyInfo.'),
  published: z.boolean().describe('The server showed it when it was last seen.'),
  sign_in: z
    .enum(['accepted', 'refused', 'unknown'])
    .nullable()
    .describe('A sign-in with the private half that was given; null: none was.'),
  detail: z.string().nullable(),
  request: z.string().nullable().describe('The request that replaces it.'),
  rotation: z.string().nullable(),
  left: z.string().nullable().describe('With rotate: why it is not replaced.'),
});

const leakAnswerSchema = z
  .object({
    keys: z.array(
      z.object({
        id: z.string().nullable().describe('SHA-256 of the DER SubjectPublicKeyInfo, base64url; null for a name.'),
        thumbprint: z.string().nullable().describe('RFC 7638.'),
        private: z.boolean().describe('Its private half was given, and belongs to it.'),
        clients: z
          .array(clientSchema)
          .describe('The clients that have it; empty: no client here has it, or none that you may see.'),
      }),
    ),
    requests: z.array(
      z.object({
        request: z.string(),
        clients: z.int(),
        pending: z.boolean().describe('No worker has taken it yet.'),
        error: z.string().nullable(),
      }),
    ),
  })
  .meta({ id: 'LeakAnswer' });

export const leakRoutes: readonly Route[] = [
  signedRoute<unknown, z.output<typeof leakQuerySchema>>({
    ...{ method: 'POST', path: '/v1/leaks', scope: 'read', id: 'reportLeak' },
    summary: 'Which client has this key, and does it still sign in? With rotate: replace it.',
    description:
      'The body is a key in any form, a thumbprint, a hash, or the report of a scanner. Reports that GitHub, GitLab or GitGuardian signed need no token where the config names the scanner; those are answered with empty lists, whatever they hold.',
    isSigned: (headers) => scannerOf(headers) !== null,
    query: leakQuerySchema,
    rawBody: z.union([leakSchema.meta({ id: 'LeakReport' }), z.unknown().describe('A JWK, or any report.')]),
    accepts: [
      'application/json',
      'text/plain',
      'application/x-pem-file',
      'application/octet-stream',
      'application/pkcs8',
      'application/jwk+json',
      'application/jwk-set+json',
      // What curl says when nobody tells it.
      'application/x-www-form-urlencoded',
    ],
    answers: {
      200: { description: 'The clients that have it; nothing is replaced.', schema: leakAnswerSchema },
      202: { description: 'The same, and what is replaced.', schema: leakAnswerSchema },
    },
    problems: {
      401: 'No token, or a signature that is not that of the scanner.',
      413: `More than ${MOST_PARTS} keys: send them in parts.`,
      422: 'There is no key in it.',
      503: 'The store, or the keys of the scanner, cannot be read now.',
    },
    examples: { body: { key: 'nvHnFYDPDSZzqwyBzJOq4vAZqUVxe7xF9lQEZ1XHqZE', rotate: false } },
    handle: (call) => (call.principal === null ? fromScanner(call) : fromCaller(call, call.principal)),
  }),
];

/** For a public listener: a report without a signature is refused, and the answer never says which clients there are. */
export const scannerRoutes: readonly Route[] = [
  publicRoute<unknown, z.output<typeof leakQuerySchema>>({
    ...{ method: 'POST', path: '/v1/leaks', scope: null, id: 'reportSignedLeak' },
    summary: 'Reports of scanners that sign them.',
    isSigned: (headers) => scannerOf(headers) !== null,
    query: leakQuerySchema,
    answers: { 200: { description: 'It was taken.', schema: leakAnswerSchema } },
    handle: fromScanner,
  }),
];

type LeakCall = Call<unknown, z.output<typeof leakQuerySchema>, unknown, Principal | null>;

async function fromCaller(call: LeakCall, principal: Principal): Promise<Answer> {
  const { context, raw, query, address, signal } = call;
  const sent = await readLeak(raw, query).catch((error: unknown) => {
    throw hasCode(error, 'usage') ? new ProblemError(400, messageOf(error)) : error;
  });
  const { found, rotate, takeOver, confirm } = sent;
  const { claimedBy } = principal;
  if (rotate && !principal.scopes.includes('rotate')) {
    throw new ProblemError(403, `${claimedBy} has no scope rotate. Leave rotate out, or take a token that has it.`);
  }
  if (found.isOver) throw tooMany();
  if (found.keys.length + found.names.length === 0) {
    throw new ProblemError(
      422,
      'There is no key in it: send a PEM, a JWK, DER, a thumbprint, a hash, or text with one in it.',
    );
  }
  await checkNoted(call);
  const reason = sent.reason ?? 'a key was reported as leaked';
  const report = { found, principal, claimedBy, address, reason, rotate, takeOver, confirm, signal };
  const outcome = await answerLeak(report, context);
  return { status: outcome.replacements.size > 0 ? 202 : 200, body: documentOf(outcome) };
}

function tooMany(): ProblemError {
  return new ProblemError(413, `This holds more than ${MOST_PARTS} keys, or what looks like one: send them in parts.`);
}

/** The keys in a store of an older version are noted once, after an upgrade. Until then every key of a report would take a read of all records. */
async function checkNoted({ context: { resources } }: LeakCall): Promise<void> {
  if (await soon(resources.store.areOwnersNoted())) return;
  throw new ProblemError(503, 'The keys of an earlier version are being noted, once. Ask again in a minute.', {
    headers: { 'retry-after': '60' },
  });
}

async function fromScanner(call: LeakCall): Promise<Answer> {
  const { context, headers, raw, address, signal } = call;
  const { leaks } = context.resources.config;
  const scanner = scannerOf(headers);
  if (scanner === null) throw new ProblemError(401, 'This takes a token, or a signature.');
  const signed = { headers, body: raw, now: systemClock.now() };
  const verdict = await checkSignature(scanner, signed, leaks, context.scanners);
  if (verdict.is === 'refused') throw new ProblemError(401, verdict.why);
  if (verdict.is === 'unknown') {
    throw new ProblemError(503, verdict.why, { headers: { 'retry-after': '60' }, cause: new Error(verdict.cause) });
  }
  const found = await findKeys(raw);
  if (found.isOver) throw tooMany();
  await checkNoted(call);
  const { rotate } = leaks[scanner] ?? { rotate: false };
  const claimedBy = `scanner:${scanner}`;
  const reason = reasonOf(scanner, raw);
  const wishes = { rotate, takeOver: false, confirm: false };
  await answerLeak({ found, principal: null, claimedBy, address, reason, ...wishes, signal }, context);
  return { status: 200, body: { keys: [], requests: [] } };
}

function reasonOf(scanner: Scanner, raw: Uint8Array): string {
  const place = placeIn(raw);
  return place === null ? `reported by ${scanner}` : `reported by ${scanner}: ${place}`;
}

function documentOf({ items, replacements }: LeakOutcome): z.output<typeof leakAnswerSchema> {
  return {
    keys: items.map(({ clients, ...item }: LeakedItem) => ({
      ...item,
      clients: clients.map((one) => clientDocument(one, replacements)),
    })),
    requests: [...replacements.values()].map(({ request, clients, rotations, error }) => ({
      ...{ request, clients: clients.length },
      pending: rotations === null && error === null,
      error,
    })),
  };
}

function clientDocument(
  { candidate, tried, replace, left }: LeakedClient,
  replacements: LeakOutcome['replacements'],
): z.output<typeof clientSchema> {
  const { client, client_id, kid, state, reported, by, published } = candidate;
  const { request = null, rotations = null } = replacements.get(replace ?? '') ?? {};
  const rotation = rotations?.get(client) ?? null;
  return { ...{ client, client_id, kid, state, reported, by, published }, ...tried, request, rotation, left };
}
