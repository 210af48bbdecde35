/** Who calls, and what that caller may do. */
import type { Request } from '../../jobs/schemas.ts';
import { type ClientRef, splitReference } from '../core/client.ts';
import { covers, type TokenScope } from '../core/token.ts';
import { ProblemError } from './problem.ts';

export interface Principal {
  /** What the audit log says as `claimed_by`: `token:siem` or `certificate:siem.example.com`. */
  readonly claimedBy: string;
  /** Another one for each credential, also where a revoked token's name is given out again. */
  readonly key: string;
  readonly scopes: readonly TokenScope[];
  /** An app (`deployment/slug`) or a client reference that it is restricted to; null: all. */
  readonly only: string | null;
  /** Whether it still is what it was: asked while a stream lasts. */
  isValid(): Promise<boolean>;
}

export function mayTouch({ only }: Principal, ref: ClientRef): boolean {
  const { deployment, app } = splitReference(ref);
  return covers({ only }, { app: `${deployment}/${app}`, client: ref });
}

/** What a request selects: for one who is restricted only clients, or the app, that this allows. */
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
