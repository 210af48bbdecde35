import type { Check } from '../checker.ts';

/** Clocks are read at both ends. */
const EARLY_MS = 20;

/** A server that says when to come back is not asked for the same client until then. */
export const throttleIsRespected: Check = ({ events, requests }) => {
  const windows = events.filter((event) => event.kind === 'throttled');
  return requests.flatMap(({ at, method, client, path, deployment }) => {
    if (method !== 'PATCH') return [];
    const broken = windows.find(
      (window) =>
        window.client === client && window.deployment === deployment && at > window.at && at < window.until - EARLY_MS,
    );
    if (broken === undefined) return [];
    const message = `${method} ${path} came ${at - broken.at} ms after a 429, ${broken.until - at} ms too early`;
    return [{ rule: 'retry_after', ref: null, message }];
  });
};
