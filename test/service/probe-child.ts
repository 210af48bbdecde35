/** Probes apps in a process of its own, all at once, so that it can be killed in the middle of all of them. Its one argument is a {@link ProbeOrder} as JSON. */
import { readFile } from 'node:fs/promises';
import { loadConfig } from '../../src/config/load.ts';
import { probeApp } from '../../src/rotation/probe.ts';
import { createLog } from '../../src/runtime/log.ts';
import { openResources } from '../../src/runtime/resources.ts';
import { systemClock } from '../../src/time.ts';
import type { Order } from '../support/worker-process.ts';

export interface ProbeOrder extends Order {
  readonly deployment: string;
  readonly slugs: readonly string[];
  readonly leaseMs: number;
}

const order: ProbeOrder = JSON.parse(process.argv[2] ?? '');
const env: Record<string, string> = JSON.parse(await readFile(order.env, 'utf8'));
const log = createLog({ level: 'error' });
const resources = await openResources(await loadConfig(order.config, env), { log, clock: systemClock });
const signal = new AbortController().signal;
const options = { actor: 'test', reason: 'a test', signal, leaseMs: order.leaseMs };
await Promise.all(order.slugs.map((slug) => probeApp(resources, order.deployment, slug, options)));
