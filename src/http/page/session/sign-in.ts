/** Signing in with a token, and out again. */
import { answerOf } from '../../../store/redis/patience.ts';
import { trusted } from '../../auth.ts';
import { ProblemError } from '../../problem.ts';
import type { PageAnswer, PageCall, PageRoute, Visitor } from '../routes.ts';
import { signInPage } from '../views/sign-in.ts';
import { ownPath } from './origin.ts';
import { KNOWN_MS } from './visitor.ts';

/** The title of the window. */
export const SIGN_IN = 'Sign in';

export const signInRoutes: readonly PageRoute[] = [
  {
    ...{ method: 'GET', path: '/sign-in', scope: null },
    handle: async ({ query }: PageCall<Visitor | null>) => ({
      title: SIGN_IN,
      body: signInPage({ to: ownPath(query.get('to')), problem: null }),
      notice: query.has('out') ? 'You are signed out.' : null,
    }),
  },
  { ...{ method: 'POST', path: '/sign-in', scope: null }, handle: signIn },
  {
    ...{ method: 'POST', path: '/sign-out', scope: 'read' },
    async handle({ context: { sessions }, visitor, address }: PageCall) {
      await sessions.end(visitor.session, address);
      return { to: '/sign-in?out=1', session: null };
    },
  },
];

async function signIn({ context, query, form, address, signal }: PageCall<Visitor | null>): Promise<PageAnswer> {
  const to = ownPath(form.get('to') ?? query.get('to'));
  const value = (form.get('token') ?? '').trim();
  const found = await trusted(answerOf(context.tokens.find(value), { signal, ms: KNOWN_MS }, ''));
  if (found === null)
    throw new ProblemError(401, 'This token is not accepted: it was never made, has expired, or was revoked.');
  if (!found.scopes.includes('read')) {
    const what = `The token ${found.name} has ${found.scopes.join(', ')}, and the page takes the scope read`;
    throw new ProblemError(403, `${what}: \`rekeyd token create NAME --scope read\`, with rotate to act.`);
  }
  return { to, session: await context.sessions.begin(found, address) };
}
