/** Calls to a Kubernetes API, and what its answers mean to a person. */
import type { KubernetesSinkConfig } from '../../config/sinks/model.ts';
import { members } from '../../core/reply.ts';
import { readToken } from '../../files/token.ts';
import { quotable } from '../../keys/repeats.ts';
import { isRedirect, type JsonAnswer, type JsonApi, type JsonCall, openJsonApi } from '../../net/json-api.ts';
import { monotonic } from '../../time.ts';

/** An answer that is no success. */
export class KubernetesError extends Error {
  readonly status: number;
  /** What to do, without a full stop. */
  readonly hint: string;

  /** @param told what the server says; empty: nothing */
  constructor(doing: string, status: number, told: string) {
    super(`Kubernetes answers ${status}${told === '' ? '' : ` (${told})`} ${doing}`);
    this.status = status;
    this.hint = hintFor(status, told);
  }
}

export interface KubernetesCall extends JsonCall {
  /** For messages, such as `reading the Secret`. */
  readonly doing: string;
  /** Statuses of failures that the caller looks at itself. */
  readonly expects?: readonly number[];
}

export interface KubernetesApi {
  /** @throws KubernetesError; Error when there is no whole answer, or no token */
  call(call: KubernetesCall): Promise<JsonAnswer>;
  close: JsonApi['close'];
}

/** For so long, in ms, a token is not read again. Kubernetes replaces one long before it ends. */
const TOKEN_MS = 60_000;

export function openKubernetesApi(config: KubernetesSinkConfig, now: () => number): KubernetesApi {
  const api = openJsonApi({ ...config, now });
  let held: { readonly token: string; readonly readAt: number } | null = null;

  async function token(): Promise<string> {
    if (held !== null && monotonic() - held.readAt < TOKEN_MS) return held.token;
    const read = await readToken(config.tokenFile);
    held = { token: read, readAt: monotonic() };
    return read;
  }

  async function attempt(call: KubernetesCall): Promise<JsonAnswer> {
    return api.call({ ...call, headers: { authorization: `Bearer ${await token()}` } });
  }

  return {
    async call(call) {
      let answer = await attempt(call);
      if (answer.status === 401) {
        // The file may hold another token by now.
        held = null;
        answer = await attempt(call);
      }
      const { status, body } = answer;
      // A page with the status 404 is a proxy's, and says nothing of a Secret.
      const isExpected = call.expects?.includes(status) === true && members(body).kind === 'Status';
      if (isExpected || (status >= 200 && status < 300)) return answer;
      throw new KubernetesError(call.doing, status, quotable(textIn(answer), held === null ? [] : [held.token]));
    },
    close: api.close,
  };
}

/** Of a Status. */
function textIn({ status, body }: JsonAnswer): string {
  const { kind, message } = members(body);
  if (status === 404 && kind !== 'Status') return 'which is no answer of Kubernetes';
  return typeof message === 'string' ? message : '';
}

function hintFor(status: number, told: string): string {
  if (isRedirect(status)) return 'Set url to the server that it leads to: rekeyd follows no redirect';
  if (/too long|too large|limit is/i.test(told))
    return 'A Secret holds at most 1 MiB: take out what others put into it';
  if (/being terminated|namespaces? "[^"]*" not found/i.test(told))
    return 'Make the namespace, or set another one for this sink';
  switch (status) {
    case 401:
      return 'Check service_account of this sink: its token is refused';
    case 403:
      return 'Give the service account of rekeyd the Role in docs/sinks.md';
    case 404:
      return 'Check namespace, clients and url of this sink';
    case 409:
      return 'Somebody else writes it at the same time: find out who';
    case 429:
      return 'The API server is busy: wait';
    default:
      return 'See the events of the namespace and the log of the API server';
  }
}
