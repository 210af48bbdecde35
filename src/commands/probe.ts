import { noteOffers } from '../../jobs/due-times.ts';
import { loadConfig } from '../config/load.ts';
import { formatDuration } from '../core/duration.ts';
import { type Finding, type Findings, NOTHING_KNOWN, takesSeveral } from '../core/findings.ts';
import { ALGORITHMS } from '../core/keys.ts';
import { type ProbeResult, probeApp } from '../rotation/probe.ts';
import { author, awaitInterruption, type Globals, withResourcesOf } from './open.ts';
import { note, print, printJson, printTable } from './output.ts';
import { knownApp } from './select.ts';

/** Finds out, on a client that is made for it, how the server of an app picks keys and which algs it verifies. Stores what it found. */
export async function probe(globals: Globals, app: string, { json }: { readonly json?: boolean }): Promise<number> {
  const config = await loadConfig(globals.file, globals.env);
  const [deployment = '', slug = ''] = knownApp(app, config).split('/');
  return withResourcesOf(config, async (resources) => {
    const { signal, release } = awaitInterruption(globals);
    try {
      note(`Probing ${app}: a disposable client is made, changed some twenty times, and deactivated …`);
      const result = await probeApp(resources, deployment, slug, {
        ...author(),
        reason: 'asked for on the command line',
        signal,
        onWait: (ms) =>
          note(`Another probe of ${app} is under way, or was killed. Looking again in ${formatDuration(ms)} …`),
      });
      if (result.strategy !== null) await noteOffers(app, resources);
      if (json) printJson(documentOf(app, result));
      else tell(app, result);
      return 0;
    } catch (error) {
      if (!signal.aborted) throw error;
      note(`Stopped: nothing was learned of ${app}. Its disposable client is deactivated, now or by the next probe.`);
      return 1;
    } finally {
      release();
    }
  });
}

/** Members as in the JSON document. */
function documentOf(app: string, { findings, strategy, removed, leftover }: ProbeResult) {
  const { at, issuer, picks, pemMember, forms, algs, fit, effectMs, removalMs } = findings;
  return {
    app,
    at: new Date(at).toISOString(),
    issuer,
    picks,
    pem_member: pemMember,
    forms,
    algs,
    keys_that_fit: { result: fit.keys, evidence: fit.evidence },
    effect_ms: effectMs,
    removal_ms: removalMs,
    strategy_auto: autoOf(findings),
    strategy_changed: strategy !== null,
    leftovers_removed: removed,
    leftover,
  };
}

function autoOf(findings: Findings): 'overlap' | 'cutover' {
  return takesSeveral({ ...NOTHING_KNOWN, findings }) ? 'overlap' : 'cutover';
}

function tell(app: string, { findings, strategy, removed, leftover }: ProbeResult): void {
  const { issuer, picks, pemMember, forms, algs, fit, effectMs, removalMs } = findings;
  const row = (question: string, { result, evidence }: Finding<string>) => [question, result, evidence];
  print(`${app}, signing in at ${issuer}:`);
  printTable(
    ['QUESTION', 'ANSWER', 'EVIDENCE'],
    [
      row('which of two keys signs in', picks),
      row('does public_key_pem decide', pemMember),
      row('JWK with public_key_pem', forms.jwk_with_pem),
      row('plain JWK', forms.jwk),
      row('PEM', forms.pem),
      row('jwks_uri', forms.jwks_uri),
      ...ALGORITHMS.map((alg) => row(alg, algs[alg])),
      ['keys that fit', `at least ${fit.keys}`, fit.evidence],
      ['a new key signs in', `after ${effectMs} ms`, 'signed in until it was accepted'],
      [
        'a removed key is refused',
        removalMs === null ? 'not yet' : `after ${removalMs} ms`,
        'signed in until it was refused',
      ],
    ],
  );
  const auto = autoOf(findings);
  print(
    `strategy: auto is ${auto === 'overlap' ? 'an overlap' : 'a cutover'} here${strategy === null ? '' : ', which it was not before'}.`,
  );
  if (removed > 0) note(`${removed} disposable clients of earlier probes were still active, and are deactivated.`);
  if (leftover !== null) note(`The disposable client may still be active: ${leftover} The next probe removes it.`);
}
