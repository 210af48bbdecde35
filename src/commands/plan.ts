import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/model.ts';
import { lost, readFacts, readMarker, whereNow, whyLost } from '../store/identity.ts';
import type { Globals } from './open.ts';
import { planFleet } from './plan/fleet.ts';
import { openReport } from './plan/report.ts';
import { type SelectOptions, selectionOf } from './select.ts';
import { type StoreView, viewApis, viewStore } from './view.ts';

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
  const { takeOver = false, verbose = false, json = false, limit } = options;
  const apis = viewApis(config);
  try {
    const view = await viewStore(config);
    try {
      await expectPresent(config, view);
      const isNamed = select !== null && 'clients' in select;
      const isCompromise = compromised !== false;
      const report = openReport({ isNamed, isAsked: select !== null, isCompromise, limit, verbose, json });
      const request = { select, compromised, takeOver, ...report };
      return report.end(await planFleet(request, { config, store: view.store, apis }));
    } finally {
      await view.close();
    }
  } finally {
    await apis.close();
  }
}

/** A plan over a store that was lost would tell that every client is new. @throws RekeydError `store_lost` */
async function expectPresent({ dataDir }: Config, { redis, store }: StoreView): Promise<void> {
  const marker = await readMarker(dataDir);
  const facts = await readFacts(redis, store.keys);
  const why = whyLost(marker, facts);
  if (marker !== null && why !== null) throw lost(marker, why, store.keys, await whereNow(redis, marker, facts));
}
