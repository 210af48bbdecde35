import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { textOf } from './body.ts';
import { type FaultRule, SIGN_IN_REFUSALS, type SignInRefusal } from './fault-rules.ts';
import type { Fault } from './faults.ts';
import type { Context } from './serve.ts';
import { parseJson } from './wire.ts';

const when = z.enum(['before', 'after']);
const reason = z.enum(Object.keys(SIGN_IN_REFUSALS) as [SignInRefusal, ...SignInRefusal[]]); // its keys, of which there are some
const members = z.record(z.string(), z.unknown());
const matching = {
  match: z
    .strictObject({
      api: z.enum(['management', 'runtime']),
      method: z.string(),
      path: z
        .string()
        .refine(isExpression, 'not a regular expression')
        .pipe(z.string().transform((source) => new RegExp(source))),
      deployment: z.string(),
      app: z.string(),
      client: z.string(),
    })
    .partial()
    .optional(),
  times: z.int().positive().optional(),
  skip: z.int().nonnegative().optional(),
};

/** A fault rule as JSON: `match.path` is the source of a regular expression, edits and tampering are members instead of functions. */
const RULE = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('latency'), ms: z.int().nonnegative(), when: when.optional(), ...matching }),
  z.strictObject({
    kind: z.literal('status'),
    status: z.int().min(300).max(599),
    message: z.string().optional(),
    retryAfter: z.union([z.string(), z.number()]).optional(),
    when: when.optional(),
    ...matching,
  }),
  z.strictObject({ kind: z.literal('rate_limited'), windowMs: z.int().positive().optional(), ...matching }),
  z.strictObject({ kind: z.literal('gateway_away'), ...matching }),
  z.strictObject({ kind: z.literal('sign_in_refused'), reason, when: when.optional(), ...matching }),
  z.strictObject({
    kind: z.literal('page'),
    status: z.int().min(200).max(599),
    body: z.string(),
    type: z.string().optional(),
    when: when.optional(),
    ...matching,
  }),
  z.strictObject({ kind: z.literal('stall'), when, ...matching }),
  z.strictObject({ kind: z.literal('drop'), when, ...matching }),
  z.strictObject({ kind: z.literal('edit'), edit: members, client: z.string().optional(), when, ...matching }),
  z.strictObject({ kind: z.literal('tamper'), tamper: members, ...matching }),
  z.strictObject({ kind: z.literal('cut'), ...matching }),
  z.strictObject({ kind: z.literal('gzip'), ...matching }),
]);

/** `POST` a rule, `GET` the rules with how often each fired, `DELETE` them all. For people and scripts; tests hold the `Faults` itself. */
export function adminRoutes(server: FastifyInstance, { faults }: Context): void {
  server.get('/_emulator/faults', () => ({ faults: faults.list().map(view) }));
  server.delete('/_emulator/faults', (_request, reply) => {
    faults.clear();
    return reply.code(204).send();
  });
  server.post('/_emulator/faults', (request, reply) => {
    const rule = RULE.safeParse(parseJson(textOf(request)));
    if (!rule.success) return reply.code(400).send({ error: z.prettifyError(rule.error) });
    // zod writes an absent member as `| undefined`, which the rule's exact optional members do not name; reading them is the same.
    return reply.code(201).send(view(faults.add(rule.data as FaultRule)));
  });
}

function view({ rule, fired }: Fault) {
  return { ...rule, match: { ...rule.match, path: rule.match?.path?.source }, fired };
}

function isExpression(source: string): boolean {
  try {
    return new RegExp(source) instanceof RegExp;
  } catch {
    return false;
  }
}
