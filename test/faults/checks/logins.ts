import type { Check } from '../checker.ts';

/** Nobody is refused; and nobody even needs a second try where the server accepts several keys. */
export const loginsSucceed: Check = ({ events, ends }) => {
  const patient = new Set(ends.filter(({ client }) => client.app.logins === 'two').map(({ client }) => client.ref));
  return events.flatMap((event) => {
    if (event.kind !== 'login' || event.result === 'ok') return [];
    if (event.result === 'fallback' && patient.has(event.ref)) return [];
    const rule = event.result === 'refused' ? 'login_refused' : 'login_fallback';
    return [{ rule, ref: event.ref, message: event.tried.join(', then ') }];
  });
};
