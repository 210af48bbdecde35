/** The audit log, page by page. */
import { z } from 'zod';
import type { AuditEntry } from '../../core/audit.ts';
import { mayTouch, type Principal } from '../principal.ts';
import { type Route, route } from '../route.ts';
import { auditEntrySchema } from './schemas.ts';

const MOST = 1_000;

const query = z.strictObject({
  after: z.coerce
    .number()
    .int()
    .min(0)
    .max(Number.MAX_SAFE_INTEGER - 1)
    .default(0)
    .describe('Only entries after this number.'),
  limit: z.coerce.number().int().min(1).max(MOST).default(100).describe('At most so many are looked at.'),
});

const page = z
  .object({
    entries: z.array(auditEntrySchema),
    first: z
      .int()
      .describe('The first entry that is here: those before were exported and cut. Above after + 1, some are missing.'),
    next: z.int().describe('Ask on with after=NEXT, now or later.'),
    more: z.boolean().describe('There are more already.'),
  })
  .meta({ id: 'AuditPage' });

export const auditRoutes: readonly Route[] = [
  route({
    ...{ method: 'GET', path: '/v1/audit', scope: 'read', id: 'listAudit' },
    summary: 'The audit log, oldest first.',
    description:
      'Entries are numbered without gaps. A restricted token sees those of its clients alone. Entries before `first` were exported and cut: read them in the export.',
    query,
    answers: { 200: { description: 'Entries after that number.', schema: page } },
    examples: { query: { after: 0, limit: 10 } },
    async handle({ context: { resources }, principal, query: { after, limit } }) {
      const found = await resources.store.settledAfter(after, limit);
      // More may have been cut since those were read.
      const first = Math.min(await resources.store.auditFirst(), found[0]?.seq ?? Number.POSITIVE_INFINITY);
      const next = found.at(-1)?.seq ?? after;
      const entries = found.filter((entry) => isFor(principal, entry));
      return { status: 200, body: { entries, first, next, more: found.length === limit } };
    },
  }),
];

/** What is about no client is about all. */
function isFor(principal: Principal, { client }: AuditEntry): boolean {
  return principal.only === null || (client !== null && mayTouch(principal, client));
}
