/** What matters of a config, part by part, without what is secret: workers of one namespace compare it. */
import { createHash } from 'node:crypto';
import type { Config } from './model.ts';

/** Part of the config, such as `policies.default`, → a short hash of it. Secrets are left out: they may be behind other references elsewhere. */
export type ConfigParts = Readonly<Record<string, string>>;

export function configParts(config: Config): ConfigParts {
  const { deployments, policies, publish, queue, breaker, approval, leaks, webhooks } = config;
  const { encryption, durability, audit } = config;
  // How much one machine does at once may differ.
  const shared = deployments.map(({ concurrency: _, ...deployment }) => deployment);
  const parts: [string, unknown][] = [
    ['durability', durability],
    ['encryption.keks', encryption.keks.map(({ id }) => id)],
    ['publish', publish],
    ['queue', queue],
    // Any worker may take a request: the least strict of them would decide.
    ['breaker', breaker],
    ['approval', approval],
    ['leaks', leaks],
    // Any worker may export, and cut what it has exported. A folder may be mounted elsewhere on each machine.
    ['audit', { ...audit, exports: audit.exports.map(({ id }) => id) }],
    ['webhooks', webhooks],
    ...shared.map((deployment): [string, unknown] => [`deployments.${deployment.id}`, deployment]),
    ...Object.entries(policies).map(([name, policy]): [string, unknown] => [`policies.${name}`, policy]),
  ];
  return Object.fromEntries(parts.map(([name, part]) => [name, shortHash(part)]));
}

/** A secret becomes `[secret]` in JSON. */
function shortHash(part: unknown): string {
  return createHash('sha256').update(JSON.stringify(part)).digest('base64url').slice(0, 10);
}
