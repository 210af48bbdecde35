import { fleetSize } from '../../jobs/breaker.ts';
import type { BreakerView } from '../../jobs/plan/summary.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/model.ts';
import { openSink } from '../deliver/open.ts';
import { RekeydError } from '../errors.ts';
import { type Exposed, exposedBy, isLeak, type Leak, nobodyHas } from '../rotation/exposed.ts';
import type { Store } from '../store/store.ts';
import { systemClock } from '../time.ts';
import type { Globals } from './open.ts';
import { planFleet } from './plan/fleet.ts';
import { openReport } from './plan/report.ts';
import { type SelectOptions, selectionOf, usage } from './select.ts';
import { expectPresent, viewApis, viewStore } from './view.ts';

export interface PlanOptions extends SelectOptions {
  readonly takeOver?: boolean;
  readonly limit?: number;
  readonly verbose?: boolean;
  readonly json?: boolean;
}

/** Reads the store and the client lists, and writes nothing. */
export async function plan(globals: Globals, named: readonly string[], options: PlanOptions): Promise<number> {
  const config = await loadConfig(globals.file, globals.env);
  const { select, compromised } = selectionOf(named, options, config);
  const { takeOver = false, keepStandby = false, verbose = false, json = false, limit } = options;
  if (keepStandby && select !== null && ('kek' in select || 'host' in select)) {
    throw usage('--keep-standby does not go with --kek or --host: the standby keys leaked with the others.');
  }
  const apis = viewApis(config);
  try {
    const view = await viewStore(config);
    try {
      await expectPresent(config, view);
      const isNamed = select !== null && 'clients' in select;
      const isCompromise = compromised !== false;
      const exposed = select !== null && isLeak(select) ? await leakedBy(select, config, view.store) : null;
      const breaker = isCompromise ? await breakerOf(config, isNamed || takeOver, view.store) : null;
      const report = openReport({ isNamed, isAsked: select !== null, breaker, limit, verbose, json });
      const suspect = isCompromise ? { kid: compromised === true ? null : compromised.kid } : null;
      const request = { select, exposed, compromised: suspect, keepStandby, takeOver, ...report };
      return report.end(await planFleet(request, { config, store: view.store, apis }));
    } finally {
      await view.close();
    }
  } finally {
    await apis.close();
  }
}

/** @throws RekeydError `not_found` when no client is meant, `sink_failed` when the reports of one cannot be read */
async function leakedBy(leak: Leak, config: Config, store: Store): Promise<Exposed> {
  const sinks = config.sinks.map((sink) => openSink(sink, { store: null, now: systemClock.now }));
  try {
    const { exposed, unread } = await exposedBy(leak, { config, store, sinks });
    if (unread[0] !== undefined) throw new RekeydError('sink_failed', `${unread[0]}. Mend that, and ask again.`);
    if (exposed.size > 0) return exposed;
    throw new RekeydError('not_found', `Nothing to replace: ${nobodyHas(leak)}`);
  } finally {
    for (const sink of sinks) sink.close();
  }
}

async function breakerOf({ breaker, approval }: Config, isEveryone: boolean, store: Store): Promise<BreakerView> {
  const fleet = await fleetSize(isEveryone, store);
  return { breaker, fleet, people: approval?.compromiseAll ?? 1 };
}
