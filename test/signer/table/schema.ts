/** The table of cases that signers of all languages share: clients/cases/README.md says what each member means. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const FOLDER = join(import.meta.dirname, '../../../clients/cases');

const kid = z.string().regex(/^[A-Z]$/);
const seconds = z.int();
const code = z.enum(['folder_unreadable', 'no_key', 'other_client', 'clock']);
const told = z.array(code).optional();

const set = z.strictObject({
  current: kid.optional(),
  next: kid.optional(),
  previous: kid.optional(),
  client_id: z.string().optional(),
});
const damaged = { file: z.enum(['meta.json', 'current.jwk.json', 'next.jwk.json', 'previous.jwk.json']) };
const damage = z.union([
  z.strictObject({ ...damaged, how: z.literal('members'), members: z.record(z.string(), z.json()) }),
  z.strictObject({
    ...damaged,
    how: z.enum([
      ...['half', 'empty', 'missing', 'folder', 'denied', 'mark', 'more', 'latin1', 'nan'],
      ...['other_key', 'bad_alg', 'no_secret', 'other_public'],
      ...['no_primes', 'other_d', 'other_dp', 'short_rsa', 'padded', 'wrapped', 'longer'],
    ] as const),
  }),
]);
const answer = z.union([
  z.strictObject({ fails: z.literal(true) }),
  z.strictObject({
    status: z.int(),
    body: z.json().optional(),
    text: z.string().optional(),
    date: seconds.optional(),
    first: set.optional(),
  }),
]);
const claims = { kid: kid.optional(), iat: seconds.optional(), exp: seconds.optional() };
const sent = z.strictObject(claims);
const kids = z.strictObject({ kids: z.array(kid), told });

const step = z.union([
  z.strictObject({ deliver: set, damage: z.array(damage).optional() }),
  z.strictObject({ folder: z.enum(['away', 'back', 'emptied']) }),
  z.strictObject({ clock: seconds }),
  z.strictObject({ open: z.strictObject({}), expect: z.strictObject({ error: code, told }).optional() }),
  z.strictObject({
    assertion: z.strictObject({ lifetime: z.int().optional() }),
    expect: z.strictObject({ ...claims, error: code.optional(), told }),
  }),
  z.strictObject({
    authenticate: z.array(answer),
    expect: z.strictObject({
      sent: z.array(sent).optional(),
      status: z.int().optional(),
      fails: z.literal(true).optional(),
      error: code.optional(),
      told,
    }),
  }),
  z.strictObject({ assertions: z.int(), while: z.array(set).min(2), expect: kids }),
  z.strictObject({ opens: z.int(), while: z.array(set).min(2), expect: kids }),
  z.strictObject({ report: z.strictObject({ kids: z.array(kid), signing: kid }).nullable() }),
  z.strictObject({ close: z.literal(true) }),
]);

const testCase = z.strictObject({
  name: z.string(),
  why: z.string().optional(),
  algs: z.record(kid, z.enum(['RS256', 'PS256', 'EdDSA', 'ES256', 'ES384'])).optional(),
  clock: seconds.optional(),
  layout: z.enum(['links', 'plain', 'former']).optional(),
  steps: z.array(step).min(1),
});

export type Case = z.infer<typeof testCase>;
export type Step = z.infer<typeof step>;
export type KeySetSpec = z.infer<typeof set>;
export type Damage = z.infer<typeof damage>;
export type Claims = z.infer<typeof sent>;
export type AnswerSpec = z.infer<typeof answer>;

/** @throws where a file does not say what it should */
export function readTable(): readonly Case[] {
  const files = globSync('*.json', { cwd: FOLDER }).sort();
  return files.flatMap((file) => {
    const text: unknown = JSON.parse(readFileSync(join(FOLDER, file), 'utf8'));
    return z.strictObject({ cases: z.array(testCase) }).parse(text).cases;
  });
}
