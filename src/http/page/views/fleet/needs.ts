/** What needs a person, most pressing first: each with how much, why, and where to go. */

import { WHILE_REFUSED } from '../../../../rotation/deployment.ts';
import { webhookProblem } from '../../../../status/fleet/webhooks.ts';
import { isClockOff } from '../../../../status/fleet/workers.ts';
import type { FleetView, WorkerView } from '../../../../status/views.ts';
import type { Icon } from '../icons.ts';
import { away, clientsPath, counted, number, seconds, type Tone } from '../words.ts';

export interface Need {
  readonly tone: Tone;
  readonly icon: Icon;
  /** In a few words. */
  readonly what: string;
  /** What it means, and what to do: right for one client and for many. */
  readonly why: string;
  /** The page that says more; null: there is none. */
  readonly go: Way | null;
}

interface Way {
  readonly to: string;
  readonly text: string;
  /** It leads to a form, which only those have who may act. */
  readonly isForm?: true;
}

/** The id of the form that resumes a wave. It stands at the end of the fleet. */
export function waveFormId(policy: string): string {
  return `wave-${policy}`;
}

/** Leads to a form of the fleet, and opens it. The query makes a link on the same page load it anew, and so with the forms of now. */
function toForm(id: string): string {
  return `/?${new URLSearchParams({ open: id })}#${encodeURIComponent(id)}`;
}

export function needsOf(view: FleetView): readonly Need[] {
  const all = [...aboutClients(view), ...aboutSchedules(view), ...aboutWorkers(view), ...aboutReports(view)];
  return [...all.filter(({ tone }) => tone === 'alarm'), ...all.filter(({ tone }) => tone !== 'alarm')];
}

/** Clients that need a person, counted; each row leads to a list of them. */
function aboutClients({ counts, compromised, drifted, signers_missing: missing }: FleetView): readonly Need[] {
  const rows: readonly ClientsRow[] = [
    {
      ...{ count: compromised, tone: 'alarm', icon: 'alarm', query: { condition: 'compromised' } },
      what: `${counted(compromised, 'client signs', 'clients sign')} in with a compromised key`,
      why: 'A key in use was reported and still signs in, and no rotation replaces it. Report it again to replace it now.',
    },
    {
      ...{ count: counts.halted, tone: 'alarm', icon: 'stop', query: { state: 'halted' } },
      what: `${counted(counts.halted, 'client is', 'clients are')} halted`,
      why: 'rekeyd does nothing more for a halted client until a person asks for it. Most often another program changes its keys.',
    },
    {
      ...{ count: counts.failed, tone: 'alarm', icon: 'cross', query: { state: 'failed' } },
      what: `${counted(counts.failed, 'client')} failed`,
      why: 'A rotation failed, or the server does not show the key in use. The page of the client says why, and what to do.',
    },
    {
      ...{ count: counts.overdue, tone: 'alarm', icon: 'late', query: { state: 'overdue' } },
      what: `${counted(counts.overdue, 'client is', 'clients are')} overdue`,
      why: 'The key in use is older than must_by allows. Look for a pause, a freeze, a window or a rate limit that holds the rotation back.',
    },
    {
      ...{ count: drifted, tone: 'warn', icon: 'differs', query: { condition: 'drifted' } },
      what: `${counted(drifted, 'client has', 'clients have')} drifted`,
      why: 'The server shows a document that rekeyd did not publish. Accept that document, or have ours published again.',
    },
    {
      ...{ count: missing, tone: 'warn', icon: 'key', query: { condition: 'signers' } },
      what: `${counted(missing, 'client waits', 'clients wait')} for a signer`,
      why: 'A signer does not report the new key, or still signs with the old one. After ready_timeout a cutover fails, and an overlap keeps both keys.',
    },
  ];
  return rows
    .filter(({ count }) => count > 0)
    .map(({ count, query, ...need }) => ({
      ...need,
      go: { to: clientsPath(query), text: count === 1 ? 'Show it' : `Show all ${number(count)}` },
    }));
}

interface ClientsRow extends Omit<Need, 'go'> {
  readonly count: number;
  /** Of the list of clients. */
  readonly query: Readonly<Record<string, string>>;
}

function aboutSchedules({ waves, deployments, requests, requests_more: unread }: FleetView): readonly Need[] {
  return [
    ...waves
      .filter(({ phase }) => phase === 'stopped')
      .map(
        ({ policy, stopped }): Need => ({
          ...{ tone: 'alarm', icon: 'stop' },
          what: `The wave of policy ${policy} has stopped`,
          why: `${stopped ?? 'A proof failed'}. Its other clients are not rotated on schedule. Mend the cause, then resume the wave.`,
          go: { to: toForm(waveFormId(policy)), text: 'Resume it', isForm: true },
        }),
      ),
    ...deployments.flatMap(({ deployment, paused }): Need[] =>
      paused === null
        ? []
        : [
            {
              ...{ tone: 'alarm', icon: 'pause' },
              what: `Deployment ${deployment} is paused`,
              why: `${paused}. ${WHILE_REFUSED}`,
              go: null,
            },
          ],
    ),
    ...requests.slice(0, MOST_REQUESTS).map(
      ({ request, reason, why }): Need => ({
        ...{ tone: 'warn', icon: 'clock' },
        what: `Request ${request} waits`,
        why: reason === null ? why : `${why} Asked for because: ${reason}`,
        go: { to: '/queues', text: 'Show requests' },
      }),
    ),
    ...moreRequests(Math.max(0, requests.length - MOST_REQUESTS) + unread),
  ];
}

/** How many requests that wait are named one by one. */
const MOST_REQUESTS = 5;

function moreRequests(count: number): readonly Need[] {
  if (count === 0) return [];
  const what = counted(count, 'more request waits', 'more requests wait');
  const go = { to: '/queues', text: 'Show requests' };
  return [{ tone: 'warn', icon: 'clock', what, why: 'The queues say what each of them waits for.', go }];
}

function aboutWorkers({ workers }: FleetView): readonly Need[] {
  if (workers.length > 0) return workers.flatMap((worker) => workerNeed(worker) ?? []);
  const why = 'Nothing is rotated, not even what people ask for. Start a worker: `rekeyd start`.';
  return [{ tone: 'alarm', icon: 'alarm', what: 'No worker is connected', why, go: null }];
}

function workerNeed(worker: WorkerView): Need | null {
  const name = `Worker ${worker.host}, process ${worker.pid},`;
  if (worker.problem !== null) {
    return { tone: 'alarm', icon: 'cross', what: `${name} is not ready`, why: worker.problem, go: null };
  }
  if (!isClockOff(worker)) return null;
  const why = 'Proofs fail when clocks differ too much. Synchronise the clock of that machine (NTP).';
  return { tone: 'warn', icon: 'clock', what: `${name} has a clock that is ${clockWords(worker)}`, why, go: null };
}

export function clockWords({ clock_ahead_seconds: ahead }: WorkerView): string {
  if (ahead === null) return 'not known';
  if (Math.abs(ahead) < 1) return 'right';
  return `${seconds(Math.abs(ahead))} ${ahead > 0 ? 'ahead' : 'behind'}`;
}

function aboutReports({ at, audit, webhooks }: FleetView): readonly Need[] {
  const exports = audit.exports.flatMap(({ export: name, error, failing_since: since }): Need[] => {
    if (error === null) return [];
    const began = since === null ? '' : `It began ${away(Date.parse(since) - Date.parse(at))}. `;
    const why = `${error} ${began}Nothing is cut from the audit log meanwhile.`;
    return [{ tone: 'warn', icon: 'cross', what: `Audit export ${name} fails`, why, go: null }];
  });
  const isLarge = audit.bytes > audit.most_bytes && audit.exports.length === 0;
  const large: Need = {
    ...{ tone: 'warn', icon: 'late' },
    what: 'The audit log is larger than audit.most',
    why: 'Entries are cut only after they are exported, and nothing exports them. Set audit.export.',
    go: null,
  };
  const failing = webhooks.flatMap((status): Need[] => {
    const problem = webhookProblem(status);
    if (problem === null) return [];
    const why = `${problem.what}. ${problem.fix}`;
    return [{ tone: 'warn', icon: 'cross', what: `Webhook ${status.webhook} needs a look`, why, go: null }];
  });
  return [...exports, ...(isLarge ? [large] : []), ...failing];
}
