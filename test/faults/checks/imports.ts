/** A key is imported only after somebody was seen to sign in with it. */
import type { Check } from './checker.ts';
import { SAME_MS } from './clocks.ts';
import { PROOFS } from './sign-in.ts';

export const importsAreProven: Check = ({ events, requests, ends }) => {
  const clients = new Map(ends.map(({ client }) => [client.ref, client]));
  return events.flatMap((event) => {
    const client = event.kind === 'commit' ? clients.get(event.ref) : undefined;
    if (event.kind !== 'commit' || client === undefined || client.app.policy.prove === 'read_back') return [];
    return event.drafts.flatMap((draft) => {
      const { type, data } = JSON.parse(draft);
      if (type !== 'key.imported') return [];
      const isProven = requests.some(
        ({ path, at, status, clientId, authenticatedKid }) =>
          path === PROOFS &&
          status === 200 &&
          clientId === client.clientId &&
          authenticatedKid === data.thumbprint &&
          at <= event.at + SAME_MS,
      );
      const message = `${data.kid} was imported, and nobody had signed in with it`;
      return isProven ? [] : [{ rule: 'held_unproven', ref: event.ref, message }];
    });
  });
};
