/** Signing in with a token, and out again. */
import { html, type SafeHtml } from '@remix-run/html-template';
import { answerOf } from '../../store/redis/patience.ts';
import { trusted } from '../auth.ts';
import { ProblemError } from '../problem.ts';
import { ownPath } from './origin.ts';
import type { PageAnswer, PageCall, PageRoute, Visitor } from './routes.ts';

/** How long a visitor waits for the list of tokens, in ms. */
const KNOWN_MS = 4_000;

export const signInRoutes: readonly PageRoute[] = [
  {
    ...{ method: 'GET', path: '/sign-in', scope: null },
    handle: async ({ query }: PageCall<Visitor | null>) =>
      signInPage(query.get('to'), query.has('out') ? { notice: 'You are signed out.' } : {}),
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

/** What it is said with. */
interface Told {
  readonly problem?: string;
  readonly notice?: string;
}

/** A password manager may keep the token; nothing else does. */
export function signInPage(to: string | null, { problem, notice }: Told): { title: string; body: SafeHtml } {
  const said = notice === undefined ? null : html`<p role="status">${notice}</p>`;
  const wrong = problem === undefined ? null : html`<p role="alert" id="problem">${problem}</p>`;
  const body = html`<h1>Sign in to rekeyd</h1>
${said}${wrong}
<form method="post" action="/sign-in">
<input type="hidden" name="to" value="${ownPath(to)}">
<p><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required maxlength="200" spellcheck="false" aria-describedby="token-help"></p>
<p id="token-help">It begins with <code>rekeyd_</code>. <code>rekeyd token create NAME --scope read,rotate</code> makes one. With <code>--scope read</code> it can look, and change nothing.</p>
<p><button type="submit">Sign in</button></p>
</form>`;
  return { title: 'Sign in', body };
}
