/** The form that takes a token and begins a session. */
import { html, type SafeHtml } from '@remix-run/html-template';
import { icon } from './icons.ts';
import { prose } from './words.ts';

export interface SignIn {
  /** Where to go then: a path of ours. */
  readonly to: string;
  /** Why the last try did not succeed; null: there was none. */
  readonly problem: string | null;
}

export function signInPage({ to, problem }: SignIn): SafeHtml {
  const why =
    problem === null
      ? null
      : html`<div class="callout alarm" role="alert">${icon('cross')}<div><p id="problem">${prose(problem)}</p></div></div>`;
  return html`<div class="sign-in"><header class="head"><h1>Sign in</h1></header>
<p>The page of rekeyd takes a token with the scope <code>read</code>; with <code>rotate</code> you may also act. <code>rekeyd token create NAME --scope read</code> makes one.</p>
${why}
<form method="post" action="/sign-in"><input type="hidden" name="to" value="${to}">
<p class="field"><label for="token">Token</label><input id="token" name="token" type="password" required autocomplete="current-password" spellcheck="false"${problem === null ? null : html` aria-describedby="problem" aria-invalid="true"`}></p>
<p class="field buttons"><button type="submit" class="primary">Sign in</button></p></form>
<p class="as-of">You stay signed in for 8 hours, or until the token ends.</p></div>`;
}
