/** The config file's shape: every setting with its default and description, and how it becomes a {@link Config}. Its largest sections have files of their own. */
import { join } from 'node:path';
import { z } from 'zod';
import { PRIVATE } from '../files/access.ts';
import { alerts } from './alerts.ts';
import { audit } from './audit.ts';
import { percent } from './cohort.ts';
import { DATA_DIR } from './defaults.ts';
import { deployment } from './deployment.ts';
import * as field from './fields.ts';
import { choice, duration, list, name, namespace, section } from './fields.ts';
import { http } from './http.ts';
import { kek } from './kek.ts';
import { leaks } from './leaks.ts';
import type { Config } from './model.ts';
import { policy } from './policy.ts';
import { queue } from './queue.ts';
import { redis } from './redis.ts';
import type { Sources } from './secrets.ts';
import { differentSinks } from './sinks/rules.ts';
import { sink } from './sinks/sink.ts';
import { telemetry } from './telemetry.ts';
import { webhook } from './webhooks.ts';

/** The schema of one config file. Parse asynchronously: secrets are read on the way. */
export function configFileSchema(sources: Sources) {
  const publish = section({
    path: field.path('Folder for public JWK Sets. Absent: jwks in data_dir.', sources).optional(),
    base_url: field.url(
      'The https URL at which the sets can be fetched: from a web server with that folder, or from /jwks of rekeyd behind a proxy.',
      { only: 'https' },
    ),
  });
  return section({
    data_dir: field
      .path('Folder for the embedded Redis, the default sink and other files of rekeyd.', sources)
      .prefault(DATA_DIR),
    namespace: namespace('Begins every name in Redis. Environments that share a Redis need one each.').prefault(
      'rekeyd',
    ),
    redis: redis(sources).prefault({}).describe('Where rekeyd keeps its state.'),
    durability: choice('strict: refuse a Redis that could lose a key in a crash. relaxed: accept it.', [
      'strict',
      'relaxed',
    ]).prefault('strict'),
    encryption: section({
      keks: list(kek(sources), 'key encryption key').describe('Key encryption keys. The first encrypts, all decrypt.'),
    }).describe('How private keys are encrypted in the store.'),
    deployments: list(deployment(sources), 'deployment').describe('The Wacht deployments whose clients are rotated.'),
    policies: z
      .record(name('Name of the policy.'), policy, { error: 'is not a section: write policies by name below it' })
      .describe('When and how keys are rotated. The policy default exists even when it is not written.')
      .prefault({}),
    breaker: percent('A compromise of more than this part of the fleet needs a confirmation.')
      .transform((part) => part / 100)
      .prefault('20%'),
    approval: section({
      compromise_all: field.count(
        'How many people must agree to a compromise that passes the breaker, the one who asks included.',
        1,
        10,
      ),
    })
      .describe('What needs a second person. Absent: nothing.')
      .optional(),
    sinks: list(sink(sources), 'sink')
      .superRefine(differentSinks)
      .describe('Where private keys are handed to those who sign.')
      .optional(),
    http: http(sources).prefault({}).describe('The HTTP API, probes, metrics and the page.'),
    leaks: leaks(sources).prefault({}).describe('Scanners that report leaked keys.'),
    alerts: alerts(sources).prefault({}).describe('A monitor for those who have no Prometheus.'),
    webhooks: list(webhook(sources), 'webhook').describe('Receivers that are told what happens.').optional(),
    telemetry: telemetry(sources).prefault({}).describe('Where traces are sent.'),
    audit: audit(sources)
      .prefault({})
      .describe('How much of the audit log stays in Redis, and where it is exported to.'),
    queue: queue.describe('Requests from other programs, through Redis.').prefault({}),
    publish: publish.describe('Where public JWK Sets are, for policies with format: jwks_uri.').optional(),
    reconcile_every: duration('How often rekeyd looks for drift and unfinished work.').prefault('60s'),
    shutdown_grace: duration('How long running jobs may take to finish on SIGTERM.', { most: '1d' }).prefault('30s'),
  }).transform(
    (input): Omit<Config, 'file' | 'warnings' | 'secretFiles' | 'watchedFiles'> => ({
      dataDir: input.data_dir,
      namespace: input.namespace,
      redis: input.redis,
      durability: input.durability,
      encryption: input.encryption,
      deployments: input.deployments,
      policies: { default: policy.parse({}), ...input.policies },
      breaker: input.breaker,
      approval: input.approval === undefined ? null : { compromiseAll: input.approval.compromise_all },
      sinks: input.sinks ?? [
        { kind: 'directory', path: join(input.data_dir, 'keys'), access: PRIVATE, reports: null, pemComment: false },
      ],
      http: input.http,
      leaks: input.leaks,
      alerts: input.alerts,
      webhooks: input.webhooks ?? [],
      telemetry: input.telemetry,
      audit: input.audit,
      queue: input.queue,
      publish: input.publish
        ? { path: input.publish.path ?? join(input.data_dir, 'jwks'), baseUrl: input.publish.base_url }
        : null,
      reconcileEveryMs: input.reconcile_every,
      shutdownGraceMs: input.shutdown_grace,
    }),
  );
}
