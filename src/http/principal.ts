/** Who calls, and what that caller may do. */
import type { Request } from '../../jobs/schemas.ts';
import { type ClientRef, splitReference } from '../core/client.ts';
import { covers, type TokenScope } from '../core/token.ts';
import { ProblemError } from './problem.ts';

export interface Principal {
  /** What the audit log says as `claimed_by`: `token:siem` or `certificate:siem.example.com`. */
  readonly claimedBy: string;
  /** Another one for each credential: a new token with the name of a revoked one has another key. */
  readonly key: string;
  readonly scopes: readonly TokenScope[];
  /** An app (`deployment/slug`) or a client reference that it is restricted to; null: all. */
  readonly only: string | null;
  /** Whether the credential is still valid. Asked from time to time while a stream lasts. */
  isValid(): Promise<boolean>;
}

export function mayTouch({ only }: Principal, ref: ClientRef): boolean {
  const { deployment, app } = splitReference(ref);
  return covers({ only }, { app: `${deployment}/${app}`, client: ref });
}

/** Whether the caller may ask for this selection. One that is restricted may select its app, or clients that it may touch. */
export function maySelect(principal: Principal, select: Request['select']): boolean {
  const { only } = principal;
  if (only === null) return true;
  if ('clients' in select) return select.clients.every((ref) => mayTouch(principal, ref));
  return 'app' in select && select.app === only;
}

/** The answer for a client that is not there, and for one that the caller may not see: which of the two is not told. */
export function notKnown(ref: string): ProblemError {
  return new ProblemError(404, `${ref} is not known here, or you may not see it.`);
}
