import type { Config } from '../../config/model.ts';
import { type Check, fine, looking, wrong } from '../../runtime/checks/check.ts';
import { redisTarget } from '../../runtime/redis-target.ts';
import { storeKeys } from '../../store/keys.ts';
import { missingRights } from '../../store/redis/rights.ts';

/** Whether the Redis user may do all that a worker does. Our own embedded server lets us do everything. */
export async function checkRights(config: Config): Promise<readonly Check[]> {
  const { server } = config.redis;
  if (server.kind === 'embedded') return [];
  return looking('redis rights', 'Mend that, and run doctor again.', async () => {
    const { queues } = storeKeys(config.namespace);
    const target = await redisTarget(config, () => {});
    const { commands, keys } = await missingRights(target, queues);
    if (commands.length === 0 && !keys) return fine('redis rights', 'the user may do all that a worker does');
    const problems = [
      ...(commands.length === 0 ? [] : [`the user may not run ${commands.join(', ')}`]),
      ...(keys ? [`the user may not use keys that begin with ${queues}:`] : []),
    ];
    const rules = [...commands.map((name) => `+${name}`), ...(keys ? [`'~${queues}:*'`] : [])];
    return wrong(
      'redis rights',
      problems.join('; '),
      `Run ACL SETUSER USER ${rules.join(' ')}, with the name of that user.`,
    );
  });
}
