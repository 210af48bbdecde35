/**
 * What must hold between settings. The rules look at the file through an outline that never fails, so that they speak up even while other
 * settings are still wrong, and everything is reported at once.
 */
import { join, resolve, sep } from 'node:path';
import { z } from 'zod';
import { parseDuration } from '../core/duration.ts';
import { DATA_DIR, ROTATE_EVERY } from './defaults.ts';
import { exposedTokens } from './http.ts';
import type { Config } from './model.ts';
import { didYouMean, type Finding, type Path } from './problems.ts';
import { exposedPassword } from './redis.ts';
import { sinkDoubts } from './sinks/directory.ts';
import { heardSigners, reportDoubts, sinkOutline } from './sinks/rules.ts';

const word = z.string().optional().catch(undefined);
const listOf = <T extends z.ZodType>(item: T) => z.array(item).catch([]);
const named = z.looseObject({ id: word, name: word, policy: word, slug: word, path: word });
const appOutline = named.extend({ clients: listOf(named.catch({})) });
const deploymentOutline = named.extend({ apps: listOf(appOutline.catch({ clients: [] })) });
const policyOutline = z.looseObject({ strategy: word, format: word, rotate_every: word, must_by: word });
const outline = z.looseObject({
  data_dir: word,
  encryption: z.looseObject({ keks: listOf(named.catch({})) }).catch({ keks: [] }),
  deployments: listOf(deploymentOutline.catch({ apps: [] })),
  policies: z.record(z.string(), policyOutline.catch({})).catch({}),
  sinks: listOf(sinkOutline.catch({})),
  publish: named.optional().catch({}),
  webhooks: listOf(named.extend({ only: listOf(z.string()) }).catch({ only: [] })),
  redis: z.looseObject({}).catch({}),
  queue: z
    .looseObject({
      producers: z.record(z.string(), z.looseObject({ only: listOf(z.string()) }).catch({ only: [] })).catch({}),
    })
    .catch({ producers: {} }),
  http: z.looseObject({ certificates: listOf(z.looseObject({ only: word }).catch({})) }).catch({ certificates: [] }),
});
type Outline = z.infer<typeof outline>;

/** @param folder absolute; relative paths start here */
export function brokenRules(input: unknown, folder: string): Finding[] {
  const seen = outline.safeParse(input);
  if (!seen.success) return [];
  const between = [uniqueNames, knownPolicies, possiblePolicies, laterThanDue, knownReach, privateFolders, oneRedis];
  return [...between, heardSigners].flatMap((rule) => rule(seen.data, folder));
}

function uniqueNames({ encryption, deployments, webhooks }: Outline): Finding[] {
  return [
    ...duplicates(encryption.keks, 'id', ['encryption', 'keks']),
    ...duplicates(deployments, 'id', ['deployments']),
    ...deployments.flatMap(({ apps }, d) => [
      ...duplicates(apps, 'slug', ['deployments', d, 'apps']),
      ...apps.flatMap(({ clients }, a) => duplicates(clients, 'id', ['deployments', d, 'apps', a, 'clients'])),
    ]),
    ...duplicates(webhooks, 'name', ['webhooks']),
  ];
}

function duplicates(items: readonly z.infer<typeof named>[], key: 'id' | 'name' | 'slug', path: Path): Finding[] {
  const names = items.map((item) => item[key]);
  return names.flatMap((name, index) =>
    name === undefined || names.indexOf(name) === index
      ? []
      : [
          {
            path: [...path, index, key],
            message: `is there already, at entry ${names.indexOf(name)}: write each ${key} once`,
          },
        ],
  );
}

function knownPolicies({ deployments, policies }: Outline): Finding[] {
  const known = [...new Set(['default', ...Object.keys(policies)])];
  const check = (name: string | undefined, path: Path): Finding[] =>
    name === undefined || known.includes(name)
      ? []
      : [
          {
            path,
            message: `names a policy that does not exist: write one of ${known.join(', ')}.${didYouMean(name, known)}`,
          },
        ];
  return deployments.flatMap(({ apps }, d) =>
    apps.flatMap(({ policy, clients }, a) => {
      const path = ['deployments', d, 'apps', a];
      return [
        ...check(policy, [...path, 'policy']),
        ...clients.flatMap((client, c) => check(client.policy, [...path, 'clients', c, 'policy'])),
      ];
    }),
  );
}

function possiblePolicies({ policies, publish }: Outline): Finding[] {
  return Object.entries(policies).flatMap(([name, { strategy, format }]) => {
    const findings: Finding[] = [];
    if (strategy === 'overlap' && format === 'pem') {
      const message = 'overlap needs two published keys, and format pem publishes one: write cutover, or format: jwks';
      findings.push({ path: ['policies', name, 'strategy'], message });
    }
    if (format === 'jwks_uri' && publish === undefined) {
      const message = 'jwks_uri needs a place to publish: add publish: { base_url: https://… }, or write jwks';
      findings.push({ path: ['policies', name, 'format'], message });
    }
    return findings;
  });
}

function laterThanDue({ policies }: Outline): Finding[] {
  return Object.entries(policies).flatMap(([name, { rotate_every: due = ROTATE_EVERY, must_by: most = '' }]) => {
    const [dueMs, mostMs] = [parseDuration(due), parseDuration(most)];
    if (dueMs === null || mostMs === null || mostMs > dueMs) return [];
    const message = `would call a key overdue before it is due: write more than rotate_every, which is ${due}`;
    return [{ path: ['policies', name, 'must_by'], message }];
  });
}

/** A producer, or a certificate, that is restricted to an app which the config does not have could ask for nothing. */
function knownReach({ deployments, queue, http, webhooks }: Outline): Finding[] {
  const known = deployments.flatMap(({ id, apps }) => apps.map(({ slug }) => `${id}/${slug}`));
  const check = (place: string, path: Path): Finding[] => {
    const app = place.split('/', 2).join('/');
    if (!place.includes('/') || known.includes(app)) return [];
    const message = `names an app that the config does not have: write one of ${known.join(', ')}.${didYouMean(app, known)}`;
    return [{ path, message }];
  };
  return [
    ...Object.entries(queue.producers).flatMap(([name, { only }]) =>
      only.flatMap((place, index) => check(place, ['queue', 'producers', name, 'only', index])),
    ),
    ...http.certificates.flatMap(({ only }, index) =>
      only === undefined ? [] : check(only, ['http', 'certificates', index, 'only']),
    ),
    ...webhooks.flatMap(({ only }, hook) =>
      only.flatMap((place, index) => check(place, ['webhooks', hook, 'only', index])),
    ),
  ];
}

/** A web server serves the publish folder to everybody. */
function privateFolders({ publish, sinks, data_dir = DATA_DIR }: Outline, folder: string): Finding[] {
  if (publish === undefined) return [];
  const open = resolve(folder, publish.path ?? join(data_dir, 'jwks'));
  const contains = (path: string) => resolve(folder, path) === open || resolve(folder, path).startsWith(open + sep);
  const hidden = [data_dir, ...sinks.map(({ path }) => path ?? data_dir)];
  if (!hidden.some(contains)) return [];
  const message =
    'would put private keys on the web, because a sink or data_dir is inside it: write a folder of its own';
  return [{ path: ['publish', 'path'], message }];
}

const REDIS_PLACES = ['url', 'sentinels', 'cluster'];

function oneRedis({ redis }: Outline): Finding[] {
  const [first, ...others] = Object.keys(redis).filter((key) => REDIS_PLACES.includes(key));
  const findings = others.map((key) => ({
    path: ['redis', key],
    message: `says where Redis is, and so does ${first}: write one of ${REDIS_PLACES.join(', ')}`,
  }));
  if (first !== undefined) return findings;
  return ['username', 'password', 'tls']
    .filter((key) => key in redis)
    .map((key) => ({
      path: ['redis', key],
      message: 'is for a server elsewhere: add url, sentinels or cluster, or leave it out',
    }));
}

/** Algorithms that a server verifies which takes the first PEM it finds (as Wacht's did in June 2026). */
const FIRST_PEM_ALGORITHMS: readonly string[] = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384'];

/** What is allowed and probably not meant. */
export function doubts(config: Omit<Config, 'file' | 'warnings' | 'secretFiles' | 'watchedFiles'>): Finding[] {
  const ofSinks = [...config.sinks.flatMap(sinkDoubts), ...reportDoubts(config)];
  return [...policyDoubts(config), ...ofSinks, ...redisDoubts(config), ...httpDoubts(config)];
}

function redisDoubts({ redis }: Pick<Config, 'redis'>): Finding[] {
  const way = exposedPassword(redis);
  if (way === null) return [];
  return [{ path: ['redis'], message: `sends its password where everybody on the network can read it: ${way}` }];
}

function httpDoubts({ http }: Pick<Config, 'http'>): Finding[] {
  const message = exposedTokens(http);
  return message === null ? [] : [{ path: ['http', 'listen'], message }];
}

function policyDoubts({ deployments, policies }: Pick<Config, 'deployments' | 'policies'>): Finding[] {
  const apps = deployments.flatMap((deployment) => deployment.apps);
  const used = apps.flatMap(({ clients, policy }) =>
    clients === 'all' ? [policy] : clients.map((client) => client.policy),
  );
  return Object.entries(policies).flatMap(([name, { strategy, alg, format, embedPem, adopt, probe }]) => {
    const path = ['policies', name];
    const findings: Finding[] = [];
    if (name !== 'default' && !used.includes(name))
      findings.push({ path, message: 'no app and no client uses this policy' });
    const isUnknown = strategy === 'auto' && probe === 'never';
    const takesOne = strategy === 'cutover' || isUnknown || format === 'pem' || format === 'jwks_uri';
    if (adopt === 'overlap' && takesOne) {
      const message =
        'overlap offers a key only where the server takes several, as one more of a JWK Set: write strategy: auto and probe it, or strategy: overlap, and format: keep or jwks, where that is so';
      findings.push({ path: [...path, 'adopt'], message });
    }
    if (strategy === 'overlap') return findings;
    if (alg !== 'keep' && !FIRST_PEM_ALGORITHMS.includes(alg)) {
      const message = `servers that take the first PEM verify only RS256/384/512 and ES256/384: with ${alg} a rotation there is rolled back`;
      findings.push({ path: [...path, 'alg'], message });
    }
    if (format === 'jwks_uri' || (format !== 'pem' && !embedPem)) {
      const message = 'servers that take the first PEM find none here: a rotation there is rolled back';
      findings.push({ path: [...path, format === 'jwks_uri' ? 'format' : 'embed_pem'], message });
    }
    return findings;
  });
}
