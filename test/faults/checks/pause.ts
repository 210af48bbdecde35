/** A deployment whose API key is refused is paused: from then on it is tried now and then, and not by every client. */
import type { LogEntry } from '../../emulator/log.ts';
import type { AuditLine, Evidence } from '../evidence/evidence.ts';
import type { Check, Violation } from './checker.ts';
import { SAME_MS } from './clocks.ts';
import { carriesKeys } from './keys.ts';
import { hadItsTurn } from './turns.ts';

/** Tries come this far apart at least, in ms: one of what is ordinary, and one of what is urgent. */
const TRY_MS = 5_000;

/** That many PATCHes refused in a row, of that many clients, and nobody noticed. */
const UNNOTICED = 30;
const CLIENTS = 3;

/** That long after the last of them, in ms, the deployment is paused. */
const NOTICED_MS = 5_000;

/** A pause has its reason in the time just before it, in ms. */
const REASON_MS = 300_000;

export const pauseIsKept: Check = (evidence) => [...tooMany(evidence), ...unnoticed(evidence), ...forNothing(evidence)];

function tooMany(evidence: Evidence): Violation[] {
  const refs = new Map(evidence.ends.map(({ client }) => [client.id, client.ref]));
  return evidence.audit.flatMap((paused, index) => {
    if (paused.type !== 'deployment.paused') return [];
    const { deployment } = paused.data;
    const resumed = evidence.audit.slice(index).find((line) => isOf(line, 'deployment.resumed', deployment));
    const until = resumed?.at ?? evidence.requests.at(-1)?.at ?? paused.at;
    const tries = evidence.requests.filter((request) => {
      const { at, client } = request;
      if (!carriesKeys(request) || request.deployment !== deployment || at <= paused.at + SAME_MS || at > until)
        return false;
      return !hadItsTurn(request, refs.get(client ?? '') ?? '', paused.at, evidence);
    });
    // Something urgent may come at once, and the last try is the one that ends it.
    const most = 3 + 2 * Math.floor((until - paused.at) / TRY_MS);
    if (tries.length <= most) return [];
    const message = `${tries.length} PATCHes in ${Math.round(until - paused.at)} ms of a pause, and ${most} may come`;
    return [{ rule: 'pause', ref: null, message }];
  });
}

function isOf({ type, data }: AuditLine, wanted: string, deployment: unknown): boolean {
  return type === wanted && data.deployment === deployment;
}

/** That one or two clients are refused is no matter of the others, as long as the API key may read. */
function forNothing({ audit, requests }: Evidence): Violation[] {
  const refused = requests.filter(({ api, status }) => api === 'management' && (status === 401 || status === 403));
  return audit.flatMap(({ type, at, data }) => {
    if (type !== 'deployment.paused') return [];
    const reasons = refused.filter((call) => call.at <= at + SAME_MS && call.at > at - REASON_MS);
    // A look is a PATCH that carries nothing.
    const clients = new Set(reasons.filter(({ method }) => method === 'PATCH').map(({ client }) => client));
    if (reasons.some(({ method }) => method === 'GET') || clients.size >= CLIENTS) return [];
    const message = `${data.deployment} was paused because ${clients.size} clients were refused`;
    return [{ rule: 'paused_for_nothing', ref: null, message }];
  });
}

function unnoticed({ audit, requests }: Evidence): Violation[] {
  let row: LogEntry[] = [];
  for (const request of requests.filter((call) => carriesKeys(call) && call.status !== null)) {
    row = request.status === 401 || request.status === 403 ? [...row, request] : [];
    const [first] = row;
    if (first === undefined || row.length < UNNOTICED) continue;
    if (new Set(row.map(({ client }) => client)).size < CLIENTS) continue;
    if (isPausedWithin(first, request, audit)) {
      row = [];
      continue;
    }
    const message = `${row.length} PATCHes in a row were refused, and their deployment was never paused`;
    return [{ rule: 'pause', ref: null, message }];
  }
  return [];
}

/** A pause began while they were refused, or had begun before and was not over. */
function isPausedWithin({ deployment, at: from }: LogEntry, { at: to }: LogEntry, audit: Evidence['audit']): boolean {
  const paused = audit.findLast((line) => isOf(line, 'deployment.paused', deployment) && line.at <= to + NOTICED_MS);
  if (paused === undefined) return false;
  const resumed = audit.find((line) => isOf(line, 'deployment.resumed', deployment) && line.at >= paused.at);
  return resumed === undefined || resumed.at >= from - SAME_MS;
}
