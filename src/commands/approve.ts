/** `rekeyd approve`: the second person, for a request that passes the breaker. */
import { approve as approved } from '../../jobs/approval.ts';
import { openQueues } from '../../jobs/queues.ts';
import { keksOf } from '../rotation/policy.ts';
import { caller, type Globals, withResources } from './open.ts';
import { print, printJson } from './output.ts';

export interface ApproveOptions {
  readonly reason?: string;
  readonly json?: boolean;
}

export async function approve(globals: Globals, request: string, options: ApproveOptions): Promise<number> {
  const { reason = 'approved on the command line', json } = options;
  return withResources(globals, async (parts) => {
    const queues = openQueues(parts, [], () => {}); // the store's own connection reports what is wrong with Redis
    try {
      const by = { ...caller(), reason };
      const tools = { queues, store: parts.store, keks: keksOf(parts.config) };
      const { asked, claimedBy } = await approved(request, by, tools);
      const { select, actor, compromised } = asked;
      const who = { approved_by: by.claimedBy, asked_by: actor, asked_claimed_by: claimedBy };
      if (json) printJson({ request, ...who, reason: asked.reason, select, compromised });
      else {
        print(`Request ${request} is approved by ${by.claimedBy}. It replaces keys of ${JSON.stringify(select)}.`);
        // `actor` is free text: the second person is told who was authenticated.
        print(`${claimedBy ?? 'Nobody that was authenticated'} asked for it, as ${actor}: ${asked.reason}`);
      }
      return 0;
    } finally {
      await queues.close();
    }
  });
}
