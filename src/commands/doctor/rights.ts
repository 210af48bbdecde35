import type { Config } from '../../config/model.ts';
import { type Check, fine, looking, wrong } from '../../runtime/checks/check.ts';
import { redisTarget } from '../../runtime/redis-target.ts';
import { storeKeys } from '../../store/keys.ts';
import { describeMissing, missingRights } from '../../store/redis/rights.ts';

/** Whether the Redis user may do all that a worker does. Our own embedded server lets us do everything. */
export async function checkRights(config: Config): Promise<readonly Check[]> {
  const { server } = config.redis;
  if (server.kind === 'embedded') return [];
  return looking('redis rights', 'Mend that, and run doctor again.', async () => {
    const { queues } = storeKeys(config.namespace);
    const target = await redisTarget(config, () => {});
    const missing = await missingRights(target, queues);
    const problem = describeMissing(missing, queues);
    if (problem === null) return fine('redis rights', 'the user may do all that a worker does');
    const { commands, keys } = missing;
    const rules = [...commands.map(allowed), ...(keys ? [`'~${queues}:*'`] : [])];
    const again = commands.includes('multi') ? ' Then run doctor again: it tries the other rights within MULTI.' : '';
    const fix = `Run ACL SETUSER USER ${rules.join(' ')}, with the name of that user.${again}`;
    return wrong('redis rights', problem, fix);
  });
}

/** In quotes where a shell would make a pipe of it. */
function allowed(name: string): string {
  return name.includes('|') ? `'+${name}'` : `+${name}`;
}
