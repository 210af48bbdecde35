/** Policies that ask for what the server of an app was seen to refuse, or for what no sign-in has shown to work there: told before rotations fail. */
import { policiesOf } from '../config/lookup.ts';
import type { Config, PolicyConfig } from '../config/model.ts';
import { formatDuration } from '../core/duration.ts';
import { type AppFacts, contradictions, seenAlg } from '../core/findings.ts';

export interface Misfit {
  /** `deployment/slug` */
  readonly app: string;
  /** Name of the policy. */
  readonly policy: string;
  /** `refused`: its rotations fail. `doubtful`: some may. */
  readonly kind: 'refused' | 'doubtful';
  readonly problem: string;
}

/** For all apps in the config. Where a policy says `keep`, it is for the client's own rotation to find out. */
export function misfits(
  config: Pick<Config, 'deployments' | 'policies'>,
  factsOf: (app: string) => AppFacts,
): Misfit[] {
  return config.deployments.flatMap(({ id, apps }) =>
    apps.flatMap(({ slug }) => {
      const app = `${id}/${slug}`;
      const facts = factsOf(app);
      return [...policiesOf(config, id, slug)].flatMap(([name, policy]) => [
        ...refused(app, policy, facts).map((problem) => ({ app, policy: name, kind: 'refused' as const, problem })),
        ...doubtful(app, policy, facts).map((problem) => ({ app, policy: name, kind: 'doubtful' as const, problem })),
      ]);
    }),
  );
}

function refused(app: string, { alg, strategy, format, embedPem }: PolicyConfig, facts: AppFacts): readonly string[] {
  const demand = {
    alg: alg === 'keep' ? null : alg,
    overlap: strategy === 'overlap',
    publishing: format === 'keep' ? null : { format, embedPem },
  };
  return contradictions(facts, demand, app);
}

function doubtful(app: string, policy: PolicyConfig, facts: AppFacts): readonly string[] {
  const { alg, propagationMs, proveWithinMs } = policy;
  const said: string[] = [];
  if (alg !== 'keep' && seenAlg(facts, alg) === 'unknown')
    said.push(
      `nobody was seen to sign in with ${alg} at ${app}, so no client is changed to it. Run \`rekeyd probe ${app}\`, or try it on clients that you name: \`rekeyd rotate CLIENT --try-alg\``,
    );
  const effectMs = facts.findings?.effectMs ?? 0;
  const took = `a new key signed in only ${formatDuration(effectMs)} after its PATCH at ${app}`;
  if (effectMs > proveWithinMs) said.push(`${took}: cutovers are rolled back before that. Make prove_within longer`);
  else if (effectMs > propagationMs) said.push(`${took}: make propagation as long`);
  return said;
}
