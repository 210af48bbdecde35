/** `rekeyd approve`: the second person, for a request that passes the breaker. */
import { approve as approved } from '../../jobs/approval.ts';
import { keksOf } from '../rotation/policy.ts';
import { caller, type Globals, withResources } from './open.ts';
import { print, printJson } from './output.ts';
import { withQueues } from './queues.ts';

export interface ApproveOptions {
  readonly reason?: string;
  readonly json?: boolean;
}

export async function approve(globals: Globals, request: string, options: ApproveOptions): Promise<number> {
  const { reason = 'approved on the command line', json } = options;
  return withResources(globals, async (parts) => {
    const { store, config } = parts;
    const by = { ...caller(), reason };
    const { asked, claimedBy } = await withQueues(parts, (queues) =>
      approved(request, by, { queues, store, keks: keksOf(config) }),
    );
    const { select, actor, compromised } = asked;
    const who = { approved_by: by.claimedBy, asked_by: actor, asked_claimed_by: claimedBy };
    if (json) printJson({ request, ...who, reason: asked.reason, select, compromised });
    else {
      print(`Request ${request} is approved by ${by.claimedBy}. It replaces keys of ${JSON.stringify(select)}.`);
      // `actor` is free text: the second person is told who was authenticated.
      print(`${claimedBy ?? 'Nobody that was authenticated'} asked for it, as ${actor}: ${asked.reason}`);
    }
    return 0;
  });
}
