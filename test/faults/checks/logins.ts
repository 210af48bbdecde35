import type { Check, Violation } from '../checker.ts';

/** Nobody is refused; and nobody even needs a second try where the server accepts several keys. */
export const loginsSucceed: Check = ({ events, ends }) => {
  const logins = events.filter((event) => event.kind === 'login');
  return ends.flatMap(({ client: { ref, app } }): Violation[] => {
    if (app.logins === 'none') return [];
    const mine = logins.filter((login) => login.ref === ref);
    // Nobody was refused: but that has to be more than that nobody came.
    if (mine.length === 0) return [{ rule: 'no_logins', ref, message: 'never signed in' }];
    return mine.flatMap(({ result, tried }) => {
      if (result === 'ok' || (result === 'fallback' && app.logins === 'two')) return [];
      const rule = result === 'refused' ? 'login_refused' : 'login_fallback';
      return [{ rule, ref, message: tried.join(', then ') }];
    });
  });
};
