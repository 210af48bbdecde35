/** A worker that has begun to work ends only when it is killed, or told to. Whatever breaks around it, it does not end by itself: a supervisor would hide that. */
import type { Check } from './checker.ts';

export const workersStayUp: Check = ({ events }) =>
  events.flatMap((event) => {
    if (event.kind !== 'crash') return [];
    return [{ rule: 'crash', ref: null, message: `worker ${event.worker} ended by itself, with code ${event.code}` }];
  });
