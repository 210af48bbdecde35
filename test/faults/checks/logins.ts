import type { Check, Violation } from './checker.ts';
import { stretchesOf } from './trust.ts';

/**
 * For how long, in ms, a key that an application has chosen is accepted at least: the shortest overlap of the fleets here. On a busy machine a try can take
 * longer than that.
 */
const GOOD_MS = 400;

/**
 * No login is refused. And none needs a second try where the server accepts several keys, or where the application signs with a key that only the application
 * may replace.
 */
export const loginsSucceed: Check = ({ events, ends }) => {
  const logins = events.filter((event) => event.kind === 'login');
  return ends.flatMap(({ client }): Violation[] => {
    const { ref, app } = client;
    if (app.logins === 'none') return [];
    const mine = logins.filter((login) => login.ref === ref);
    // Nobody was refused: but that has to be more than that nobody came.
    if (mine.length === 0) return [{ rule: 'no_logins', ref, message: 'never signed in' }];
    const alone = client.enrolment === 'enrolled' ? [] : stretchesOf(client, events);
    return mine.flatMap(({ result, tried, refusedAfterMs, at }) => {
      const isAlone = alone.some(({ from, to }) => at >= from && at < to);
      const isTooSlow = !isAlone && (refusedAfterMs.at(-1) ?? 0) >= GOOD_MS;
      if (result === 'ok' || isTooSlow || (result === 'fallback' && app.logins === 'two' && !isAlone)) return [];
      const rule = result === 'refused' ? 'login_refused' : 'login_fallback';
      return [{ rule, ref, message: tried.join(', then ') }];
    });
  });
};
