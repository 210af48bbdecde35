/** Calls to HashiCorp Vault or OpenBao, and what their refusals say. */
import { members } from '../core/reply.ts';
import { quotable } from '../keys/repeats.ts';
import {
  isRedirect,
  type JsonAnswer,
  type JsonApi,
  type JsonApiOptions,
  type JsonCall,
  openJsonApi,
} from '../net/json-api.ts';

/** An answer that is no success. */
export class VaultError extends Error {
  /** What was asked, such as `reading the secret`. */
  readonly doing: string;
  readonly status: number;
  /** What the server says; empty: nothing. */
  readonly told: string;
  /** What to do, without a full stop; null: that depends on what it was asked for. */
  readonly hint: string | null;

  constructor({ doing, hint }: Pick<VaultCall, 'doing' | 'hint'>, status: number, told: string) {
    super(`Vault answers ${status}${told === '' ? '' : ` (${told})`} ${doing}`);
    this.doing = doing;
    this.status = status;
    this.told = told;
    this.hint = hintFor(status, told) ?? hint ?? null;
  }
}

export interface VaultCall extends JsonCall {
  /** For messages, such as `reading the secret`. */
  readonly doing: string;
  /** Null: the call needs no login. */
  readonly token: string | null;
  /** What else of the call is secret: an error that repeats it is not quoted. */
  readonly secrets?: readonly string[];
  /** What to do where this call is refused, without a full stop. */
  readonly hint?: string;
  /** Statuses of failures that the caller looks at itself. */
  readonly expects?: readonly number[];
}

export interface VaultApi {
  /** @throws VaultError; Error when there is no whole answer, or one that is not Vault's */
  call(call: VaultCall): Promise<JsonAnswer>;
  close: JsonApi['close'];
}

export interface VaultApiOptions extends JsonApiOptions {
  /** Of Vault Enterprise and OpenBao; null: none. */
  readonly namespace: string | null;
}

export function openVaultApi(options: VaultApiOptions): VaultApi {
  const { namespace } = options;
  const api = openJsonApi(options);
  return {
    async call(call) {
      const { token, secrets = [], expects = [], path } = call;
      const headers = {
        'x-vault-request': 'true', // agents and proxies refuse what comes without
        ...(namespace !== null && { 'x-vault-namespace': namespace }),
        ...(token !== null && { 'x-vault-token': token }),
      };
      const answer = await api.call({ ...call, path: `/v1/${path}`, headers });
      const { status, body } = answer;
      // A page with the status 404 is a proxy's, and says nothing of a secret.
      const isExpected = expects.includes(status) && body !== undefined;
      if (isExpected || (status >= 200 && status < 300)) return answer;
      throw new VaultError(call, status, quotable(textIn(answer), token === null ? secrets : [token, ...secrets]));
    },
    close: api.close,
  };
}

/** Vault's `errors` are texts. */
function textIn({ status, body }: JsonAnswer): string {
  if (body === undefined) return status === 404 ? 'which is no answer of Vault' : '';
  const { errors } = members(body);
  return Array.isArray(errors) ? errors.filter((error) => typeof error === 'string').join('; ') : '';
}

/** For refusals that mean the same for every call. */
function hintFor(status: number, told: string): string | null {
  if (isRedirect(status)) return 'Set url to the server that it leads to: rekeyd follows no redirect';
  if (/sealed/i.test(told)) return 'Unseal it: `vault operator unseal`, or `bao operator unseal`';
  if (status === 429) return 'Raise its rate limit quota, or wait';
  return status === 501 ? 'Initialize it: `vault operator init`' : null;
}
