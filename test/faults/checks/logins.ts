import type { Evidence } from '../evidence/evidence.ts';
import type { Event, Try } from '../evidence/history.ts';
import type { FaultClient } from '../stage/fleet.ts';
import type { Check, Violation } from './checker.ts';
import { durationMs } from './durations.ts';
import { carriesKeys } from './keys.ts';
import { stretchesOf } from './trust.ts';

/** A cutover promises a chosen key no time at all. Two of them this close, in ms, are never asked for here. */
const CUTOVER_MS = 400;

/**
 * No login is refused. And none needs a second try where the server accepts several keys, or where the application signs with a key that only the application
 * may replace.
 *
 * A try is forgiven when the server's keys changed under way, and the answer came after the overlap: no key is promised for longer. Such a try is one of a
 * machine that is busy.
 */
export const loginsSucceed: Check = (evidence) => {
  const { events, ends } = evidence;
  const logins = events.filter((event) => event.kind === 'login');
  return ends.flatMap(({ client }): Violation[] => {
    const { ref, app } = client;
    if (app.logins === 'none') return [];
    const mine = logins.filter((login) => login.ref === ref);
    // Nobody was refused: but that has to be more than that nobody came.
    if (mine.length === 0) return [{ rule: 'no_logins', ref, message: 'never signed in' }];
    const alone = client.enrolment === 'enrolled' ? [] : stretchesOf(client, events);
    const changes = changesFor(client, evidence);
    return mine.flatMap(({ result, tried, refused, at }) => {
      const isAlone = alone.some(({ from, to }) => at >= from && at < to);
      const isOneEnough = app.logins === 'one' || isAlone;
      if (result === 'ok' || (result === 'fallback' && !isOneEnough)) return [];
      const wrong = isOneEnough ? refused : refused.slice(-1);
      if (!isAlone && wrong.length > 0 && wrong.every((one) => isForgiven(one, client, changes))) return [];
      const rule = result === 'refused' ? 'login_refused' : 'login_fallback';
      return [{ rule, ref, message: tried.join(', then ') }];
    });
  });
};

function isForgiven({ from, to }: Try, { app, overlap }: FaultClient, changes: readonly Try[]): boolean {
  const goodMs = app.logins === 'one' ? durationMs(overlap) : CUTOVER_MS;
  return to - from >= goodMs && changes.some((change) => change.from <= to && change.to >= from);
}

/** When the keys that the server takes may have changed: by a PATCH, or by a set of ours that is written between its announcement and the commit after that. */
function changesFor({ ref, id }: FaultClient, { events, requests }: Evidence): readonly Try[] {
  const patches = requests.flatMap((request): Try[] => {
    const { doneAt } = request;
    return request.client === id && carriesKeys(request) && doneAt !== undefined ? [{ from: doneAt, to: doneAt }] : [];
  });
  const commits = events.filter((event) => event.kind === 'commit').filter((commit) => commit.ref === ref);
  const served = commits.flatMap((commit, index): Try[] =>
    isServed(commit) ? [{ from: commit.at, to: commits[index + 1]?.at ?? Number.POSITIVE_INFINITY }] : [],
  );
  return [...patches, ...served];
}

function isServed({ drafts }: Extract<Event, { kind: 'commit' }>): boolean {
  return drafts.map((draft) => JSON.parse(draft)).some(({ type, data }) => type === 'key.publishing' && data.served);
}
