/** Checks of what is known of each app's server, and whether the policies ask for more. */
import { appPaths } from '../../config/lookup.ts';
import type { Config } from '../../config/model.ts';
import { type AppFacts, type Findings, NOTHING_KNOWN, takesSeveral } from '../../core/findings.ts';
import { ALGORITHMS } from '../../core/keys.ts';
import { misfits } from '../../rotation/misfits.ts';
import { advice, type Check, fine, wrong } from '../../runtime/checks/check.ts';
import type { Store } from '../../store/store.ts';

export async function checkProbes(config: Config, store: Pick<Store, 'appFacts'>): Promise<readonly Check[]> {
  const apps = appPaths(config);
  const facts = new Map(await Promise.all(apps.map(async (app) => [app, await store.appFacts(app)] as const)));
  const factsOf = (app: string) => facts.get(app) ?? NOTHING_KNOWN;
  return [
    ...apps.map((app) => checkProbe(app, factsOf(app))),
    ...misfits(config, factsOf).map(({ policy, app, kind, problem }) =>
      kind === 'refused'
        ? wrong(`policy ${policy} at ${app}`, problem, 'Change the policy: its rotations fail there.')
        : advice(`policy ${policy} at ${app}`, problem, 'Do that, or change the policy.'),
    ),
  ];
}

function checkProbe(app: string, facts: AppFacts): Check {
  const name = `probe ${app}`;
  const { findings, failed } = facts;
  const again = `Run \`rekeyd probe ${app}\`.`;
  if (failed !== null) {
    const before = findings === null ? '' : '. What was found before still counts';
    return advice(name, `the last probe failed: ${failed.error}${before}`, `Remove the cause. ${again}`);
  }
  if (findings !== null) return fine(name, `on ${new Date(findings.at).toISOString()}: ${summary(facts, findings)}`);
  return advice(
    name,
    'not probed yet: strategy auto means cutover there, and no client is changed to an alg that no other one signs in with',
    again,
  );
}

function summary(facts: AppFacts, { picks, algs }: Findings): string {
  const verified = ALGORITHMS.filter((alg) => algs[alg].result === 'accepted').join(' ');
  return `${picks.evidence}; verifies ${verified}; strategy auto is ${takesSeveral(facts) ? 'an overlap' : 'a cutover'}`;
}
