/** Somebody who uses the page: a browser without scripts, which keeps cookies and sends forms. */

export interface Seen {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Where it sends on; null: nowhere. */
  readonly to: string | null;
  /** As they came. */
  readonly cookies: readonly string[];
}

export type Fields = Readonly<Record<string, string>>;

export interface PageVisitor {
  readonly jar: Map<string, string>;
  get(path: string, headers?: Fields): Promise<Seen>;
  /** As a page of the same origin sends it. */
  post(path: string, fields: Fields, headers?: Fields): Promise<Seen>;
  /** Fills in the form that goes to `action` on the page at `path`, and sends it. */
  send(path: string, action: string, fields: Fields): Promise<Seen>;
  /** Goes where an answer sends on. */
  follow(seen: Seen): Promise<Seen>;
  /** Sends a form that leads to what would happen: shows that, or why not. */
  ask(path: string, action: string, fields: Fields): Promise<Seen>;
}

export function pageVisitor(url: string): PageVisitor {
  const jar = new Map<string, string>();

  async function fetched(path: string, init: RequestInit & { headers: Fields }): Promise<Seen> {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const headers = { ...init.headers, accept: 'text/html', ...(cookie !== '' && { cookie }) };
    const answer = await fetch(`${url}${path}`, { ...init, headers, redirect: 'manual' });
    const cookies = answer.headers.getSetCookie();
    for (const one of cookies) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(one) ?? [];
      if (/; Max-Age=0(;|$)/.test(one)) jar.delete(name);
      else jar.set(name, value);
    }
    const to = answer.headers.get('location');
    return { status: answer.status, headers: answer.headers, text: await answer.text(), to, cookies };
  }

  const follow: PageVisitor['follow'] = ({ to, status }) => {
    if (to === null) throw new Error(`an answer with status ${status} does not send on`);
    return get(to);
  };
  const get: PageVisitor['get'] = (path, headers = {}) => fetched(path, { headers });
  const post: PageVisitor['post'] = (path, fields, headers = { 'sec-fetch-site': 'same-origin' }) =>
    fetched(path, { method: 'POST', body: new URLSearchParams(fields), headers });
  const send: PageVisitor['send'] = async (path, action, fields) => {
    const { text } = await get(path);
    return post(action, { ...formIn(text, action), ...fields });
  };
  return {
    jar,
    get,
    post,
    send,
    follow,
    async ask(path, action, fields) {
      const sent = await send(path, action, fields);
      return sent.to === null ? sent : follow(sent);
    },
  };
}

/** The fields that are filled in already, of the form that goes to `action`. @throws when the page has no such form */
export function formIn(text: string, action: string): Fields {
  const forms = text.match(/<form[\s\S]*?<\/form>/g) ?? [];
  const form = forms.find((one) => one.includes(`action="${action}"`));
  if (form === undefined) throw new Error(`no form to ${action} in: ${wordsOf(text).slice(0, 500)}`);
  const inputs = form.match(/<input[^>]*type="hidden"[^>]*>/g) ?? [];
  return Object.fromEntries(inputs.map((input) => [attribute(input, 'name'), attribute(input, 'value')]));
}

function attribute(tag: string, name: string): string {
  return unescaped(new RegExp(` ${name}="([^"]*)"`).exec(tag)?.[1] ?? '');
}

/** What a person reads. */
export function wordsOf(text: string): string {
  const [, body = text] = /<main[^>]*>([\s\S]*)<\/main>/.exec(text) ?? [];
  return unescaped(body.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ')).trim();
}

function unescaped(text: string): string {
  return text
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&quot;/g, '"')
    .replace(/&#0?39;/g, "'")
    .replace(/&amp;/g, '&');
}

export async function signedIn(url: string, token: string): Promise<PageVisitor> {
  const visitor = pageVisitor(url);
  const { status, text } = await visitor.post('/sign-in', { token });
  if (status !== 303) throw new Error(`not signed in: ${status} ${wordsOf(text)}`);
  return visitor;
}
