/** Looks, at the start and while something is wrong, at what `doctor` looks at: KEKs, sinks, clocks. */
import { keksOf } from '../rotation/policy.ts';
import type { Resources } from '../rotation/resources.ts';
import { after, monotonic, sleep, untilAborted } from '../time.ts';
import { type Check, looking } from './checks/check.ts';
import { checkStoreClock, clockCheck } from './checks/clocks.ts';
import { checkKeks, SAMPLED } from './checks/keks.ts';
import { checkKms, KMS_CHECK } from './checks/kms.ts';

export interface StartChecks {
  /** Why keys cannot be opened, so that this service is not ready; null when they can. */
  readonly problem: string | null;
  /** Looks again, because another config is in force. */
  again(): void;
  stop(): void;
}

/** Between two times that checks are made again, in ms. */
const AGAIN_MS = 10_000;

/** Between two times that a KMS is asked which answers, in ms. */
const KMS_MS = 30_000;

/** @param current what the config in force has opened: it may be another one each time */
export async function watchChecks(current: () => Resources): Promise<StartChecks> {
  const told = new Set<string>();
  const ended = new AbortController();
  let problem: string | null = null;
  let keks: Check | null = null;
  let checked: Resources | null = null;
  let kms: { readonly checks: readonly Check[]; readonly at: number; readonly of: Resources } | null = null;

  async function check(): Promise<void> {
    const resources = current();
    // KEKs and sinks stay as they are until the config changes, unless something is wrong with them.
    const all = checked !== resources || told.size > 0;
    const checks = [...(await checksOf(resources, all)), ...(await kmsChecks(resources))];
    // Another config is in force by now: what this one had opened is closed, and its checks say so. The new one has its own.
    if (resources !== current()) return;
    checked = resources;
    for (const one of checks) tell(one, resources);
    const about = checks.filter(({ name }) => name === 'keks' || name.startsWith(KMS_CHECK));
    // KEKs are not looked at each time.
    keks = about.find(({ name }) => name === 'keks') ?? keks;
    const bad = [...about.filter(({ name }) => name !== 'keks'), ...(keks === null ? [] : [keks])].find(
      ({ ok }) => !ok,
    );
    problem = bad === undefined ? null : `${bad.detail}${bad.detail.endsWith('.') ? '' : '.'} ${bad.fix}`;
  }

  /** A service that answers is asked more rarely: it counts calls. */
  async function kmsChecks(resources: Resources): Promise<readonly Check[]> {
    const isFresh = kms?.of === resources && monotonic() - kms.at < KMS_MS && kms.checks.every(({ ok }) => ok);
    if (kms === null || !isFresh) {
      const checks = await checkKms(keksOf(resources.config));
      kms = { checks, at: monotonic(), of: resources };
    }
    return kms.checks;
  }

  function tell({ name, ok, detail, fix }: Check, { log }: Resources): void {
    if (ok) {
      if (told.delete(name)) log.info({ check: name }, detail);
      return;
    }
    if (!told.has(name)) log.error({ check: name, fix }, detail);
    told.add(name);
  }

  async function run(): Promise<void> {
    for (;;) {
      await sleep(AGAIN_MS, ended.signal);
      if (ended.signal.aborted) return;
      await check().catch(() => {}); // Redis is away: the next time
    }
  }

  await check().catch(() => {}); // as below
  void run();
  const again = () => void check().catch(() => {});
  return {
    get problem() {
      return problem;
    },
    again,
    stop: () => ended.abort(),
  };
}

async function checksOf(resources: Resources, all: boolean): Promise<readonly Check[]> {
  const { store, deployments, config } = resources;
  const clocks = [
    ...(await looking('store clock', 'Mend that.', () => checkStoreClock(store))),
    ...[...deployments.values()].flatMap(({ wacht, config: { id, apiUrl } }) => {
      const skew = wacht.clockSkewMs(); // not known before the first call
      return skew === null ? [] : [clockCheck(`clock ${id}`, skew, `the API of deployment ${id} (${apiUrl})`)];
    }),
  ];
  if (!all) return clocks;
  return [...clocks, ...(await checkKeks(keksOf(config), store, SAMPLED)), ...(await checkSinks(resources))];
}

const PATIENCE_MS = 5_000;
const SLOW = 'it does not say within 5 s whether it works';

async function checkSinks({ sinks }: Resources): Promise<readonly Check[]> {
  return Promise.all(
    sinks.map(async (sink) => {
      // A server that hangs holds up no start.
      const problem = await untilAborted(sink.check(), after(PATIENCE_MS)).catch(() => SLOW);
      const fix = 'Rotations wait until it can be written, and fail after the attempts of their policies.';
      return { name: `sink ${sink.name}`, ok: problem === null, detail: problem ?? 'can be written', fix };
    }),
  );
}
