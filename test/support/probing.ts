/** Probes of a fleet's apps, and what they leave on the server. */
import { type ProbeOptions, type ProbeResult, probeApp } from '../../src/rotation/probe.ts';
import { probeOf } from '../../src/wacht/mark.ts';
import type { StoredClient } from '../emulator/clients.ts';
import type { LogEntry } from '../emulator/log.ts';
import { DEPLOYMENT, type Fleet, type FleetApp } from './fleet.ts';

/** A change has its effect at once where nothing is cached. */
const PATIENCE_MS = 5_000;

export function probeOn(
  { resources }: Pick<Fleet, 'resources'>,
  { slug, deployment = DEPLOYMENT }: FleetApp,
  options: Partial<ProbeOptions> = {},
): Promise<ProbeResult> {
  const signal = new AbortController().signal;
  const asked = { actor: 'test', reason: 'a test', signal, patienceMs: PATIENCE_MS };
  return probeApp(resources, deployment, slug, { ...asked, ...options });
}

/** Every client that a probe made. */
export function disposables({ emulator }: Pick<Fleet, 'emulator'>, app: FleetApp): readonly StoredClient[] {
  const { slug, deployment = DEPLOYMENT } = app;
  return emulator.clients(deployment, slug).filter(({ redirect_uris: uris }) => probeOf(uris) !== null);
}

/** Calls of the API about this app. */
export function apiCalls({ emulator }: Pick<Fleet, 'emulator'>, { slug }: FleetApp): readonly LogEntry[] {
  return emulator.log.filter(({ api, app }) => api === 'management' && app === slug);
}
