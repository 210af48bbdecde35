/** Calls to Vault or OpenBao, and what their answers mean to a person. */
import type { VaultSinkConfig } from '../../config/sinks/model.ts';
import { members, shortMessage } from '../../core/reply.ts';
import { type JsonAnswer, type JsonApi, type JsonCall, openJsonApi } from '../json-api.ts';

/** An answer that is no success. */
export class VaultError extends Error {
  readonly status: number;
  /** What to do, without a full stop. */
  readonly hint: string;

  constructor(doing: string, { status, body }: JsonAnswer) {
    const told = textsIn(body);
    super(`Vault answers ${status}${told === '' ? '' : ` (${told})`} ${doing}`);
    this.status = status;
    this.hint = hintFor(status, told);
  }
}

export interface VaultCall extends JsonCall {
  /** For messages, such as `reading the secret`. */
  readonly doing: string;
  /** Null: a call for which nobody has to be logged in. */
  readonly token: string | null;
  /** Statuses of failures that the caller looks at itself. */
  readonly expects?: readonly number[];
}

export interface VaultApi {
  /** @throws VaultError; Error when there is no whole answer */
  call(call: VaultCall): Promise<JsonAnswer>;
  close: JsonApi['close'];
}

export function openVaultApi(config: VaultSinkConfig, now: () => number): VaultApi {
  const { namespace } = config;
  const api = openJsonApi({ ...config, now });
  return {
    async call({ doing, token, expects = [], path, ...call }) {
      const headers = {
        'x-vault-request': 'true', // agents and proxies refuse what comes without
        ...(namespace !== null && { 'x-vault-namespace': namespace }),
        ...(token !== null && { 'x-vault-token': token }),
      };
      const answer = await api.call({ ...call, path: `/v1/${path}`, headers });
      const isFine = (answer.status >= 200 && answer.status < 300) || expects.includes(answer.status);
      if (!isFine) throw new VaultError(doing, answer);
      return answer;
    },
    close: api.close,
  };
}

function textsIn(body: unknown): string {
  const { errors } = members(body);
  return Array.isArray(errors) ? shortMessage(errors.map(String).join('; ')) : '';
}

function hintFor(status: number, told: string): string {
  if (/sealed/i.test(told)) return 'Unseal it: `vault operator unseal`, or `bao operator unseal`';
  switch (status) {
    case 403:
      return 'Give the token of rekeyd a policy with create, read and update on data/ and update on destroy/, as docs/sinks.md shows, or log it in anew';
    case 400:
      return 'Check mount, prefix and auth of this sink';
    case 404:
      return 'Check mount and namespace of this sink, and where the auth method is mounted';
    case 429:
      return 'Raise its rate limit quota, or wait';
    case 501:
      return 'Initialize it: `vault operator init`';
    default:
      return 'See the log of the server';
  }
}
