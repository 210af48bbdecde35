/** The server as a bare loop asks it: undici, and nothing between. */
import { randomUUID } from 'node:crypto';
import { Pool } from 'undici';

export interface BareApiOrder {
  readonly url: string;
  readonly deployment: string;
  /** App slug. */
  readonly app: string;
  readonly apiKey: string;
}

export interface BareApi {
  /** A look when the body has no members. Answers with the body as text. @throws when it does not succeed */
  patch(client: string, body: object): Promise<string>;
  /** Whether the issuer at `host` takes a client assertion of this OAuth `client_id`. @throws when it neither accepts nor refuses it */
  accepts(host: string, clientId: string, assertion: string): Promise<boolean>;
  close(): Promise<void>;
}

/** Accepted; refused. */
const VERDICTS: ReadonlySet<number> = new Set([200, 400, 401]);

export function openBareApi({ url, deployment, app, apiKey }: BareApiOrder, connections: number): BareApi {
  const pool = new Pool(url, { connections, headersTimeout: 0, bodyTimeout: 0 });
  const root = `/deployments/${deployment}/oauth/apps/${app}/clients`;
  const headers = { authorization: `Bearer ${apiKey}`, accept: 'application/json', 'content-type': 'application/json' };

  return {
    async patch(client, body) {
      const path = `${root}/${client}`;
      const answer = await pool.request({ method: 'PATCH', path, headers, body: JSON.stringify(body) });
      const text = await answer.body.text();
      if (answer.statusCode !== 200) throw new Error(`PATCH answered ${answer.statusCode}`);
      return text;
    },
    async accepts(host, clientId, assertion) {
      const answer = await pool.request({
        method: 'POST',
        path: '/oauth/introspect',
        headers: { host, accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams({
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
          client_assertion: assertion,
          client_id: clientId,
          token: randomUUID(),
        }).toString(),
      });
      await answer.body.text();
      if (!VERDICTS.has(answer.statusCode)) throw new Error(`introspect answered ${answer.statusCode}`);
      return answer.statusCode === 200;
    },
    close: () => pool.close(),
  };
}
