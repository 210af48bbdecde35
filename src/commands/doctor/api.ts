/** Checks of what lies beyond the network: the API of each deployment, the issuer of each app, and everybody's clock. */
import type { AppConfig, Config, DeploymentConfig } from '../../config/model.ts';
import { messageOf } from '../../errors.ts';
import { generateKey } from '../../keys/generate.ts';
import { advice, type Check, fine, looking, wrong } from '../../runtime/checks/check.ts';
import { clockCheck } from '../../runtime/checks/clocks.ts';
import { systemClock } from '../../time.ts';
import { ApiError } from '../../wacht/api-error.ts';
import type { ObservedApp } from '../../wacht/observed.ts';
import { createProver } from '../../wacht/proof.ts';
import { viewApis } from '../view.ts';

export async function checkApis(config: Config): Promise<readonly Check[]> {
  return looking('api', 'Correct the config.', async () => {
    const apis = viewApis(config);
    try {
      const checks: Check[] = [];
      for (const deployment of config.deployments) {
        const client = apis.clients.get(deployment.id);
        if (client !== undefined) checks.push(...(await checkDeployment(deployment, client)));
      }
      return checks;
    } finally {
      await apis.close();
    }
  });
}

type Client = NonNullable<ReturnType<ReturnType<typeof viewApis>['clients']['get']>>;

async function checkDeployment(deployment: DeploymentConfig, client: Client): Promise<readonly Check[]> {
  const { id, apiUrl, apps } = deployment;
  const { check, listed } = await checkApi(deployment, client);
  const skew = client.clockSkewMs();
  const checks = [
    check,
    ...(skew === null ? [] : [clockCheck(`clock ${id}`, skew, `the API of deployment ${id} (${apiUrl})`)]),
  ];
  for (const app of apps) {
    const shown = listed?.find(({ slug }) => slug === app.slug);
    if (listed !== null && shown === undefined) {
      checks.push(wrong(`app ${id}/${app.slug}`, 'the API lists no such app', 'Correct its slug in the config.'));
    }
    checks.push(...(await looking(`issuer ${id}/${app.slug}`, ISSUER_FIX, () => checkIssuer(deployment, app, shown))));
  }
  return checks;
}

async function checkApi(
  { id }: DeploymentConfig,
  client: Client,
): Promise<{ check: Check; listed: readonly ObservedApp[] | null }> {
  const name = `api key ${id}`;
  try {
    const listed = await client.listApps();
    const paths = client.urlStyle() === 'flat' ? 'at /oauth/apps' : `at /deployments/${id}/oauth/apps`;
    return { check: fine(name, `accepted ${paths} (url_style: ${client.urlStyle()}), ${listed.length} apps`), listed };
  } catch (error) {
    const lost = error instanceof ApiError && error.reply.class === 'unknown';
    const check = wrong(name, messageOf(error), error instanceof ApiError ? fixOf(error) : API_FIX);
    return { check: lost ? { ...check, unreachable: true } : check, listed: null };
  }
}

const NOT_FOUND_FIX =
  'There is no such deployment, or not for this API key: check the id of the deployment and api_url. An API key (sk_…) needs url_style flat, an access token deployment.';

const API_FIX = 'Check api_url, proxy and ca, the network and the state of Wacht.';

function fixOf({ reply: { class: kind, status } }: ApiError): string {
  if (status === 404) return NOT_FOUND_FIX;
  if (kind === 'unknown') return API_FIX;
  if (kind === 'throttled') return 'Ask again later. If this comes often, lower rate_limit.';
  if (status === 403) return 'Give the API key of this deployment the right to manage OAuth clients.';
  return 'Check the API key of this deployment: it is refused.';
}

const ISSUER_FIX =
  'Check the issuer (and resolve, ca and proxy) of this app: keys are proven there before they are used.';

/** Signs in as nobody with a key that was made for this: an issuer that does not refuse it proves nothing. */
async function checkIssuer(
  { id, timeoutMs }: DeploymentConfig,
  app: AppConfig,
  shown: ObservedApp | undefined,
): Promise<readonly Check[]> {
  const name = `issuer ${id}/${app.slug}`;
  const issuer = app.issuer ?? (shown?.fqdn == null ? null : `https://${shown.fqdn}`);
  if (issuer === null) {
    const detail = 'not known: the config names none, and the API did not tell the domain of the app';
    return [wrong(name, detail, 'Set the issuer of this app.')];
  }
  const prover = createProver({ resolve: app.resolve, ...app.route, timeoutMs, generateKey });
  try {
    const answer = await prover.control({ issuer, clientId: 'rekeyd-doctor', alg: 'ES256', nowMs: systemClock.now() });
    const skew = prover.serverClockSkewMs(issuer);
    const clock = skew === null ? [] : [clockCheck(`clock ${id}/${app.slug}`, skew, `the issuer ${issuer}`)];
    if (answer.verdict === 'accepted') {
      const detail = `${issuer} accepts a key that nobody registered: what it says proves nothing, and no key is taken for proven there`;
      return [wrong(name, detail, ISSUER_FIX), ...clock];
    }
    if (answer.verdict === 'unknown') {
      const status = answer.status === null ? 'does not answer' : `answers HTTP ${answer.status}, which proves nothing`;
      return [wrong(name, `${issuer} ${status}: ${answer.message}`, ISSUER_FIX), ...clock];
    }
    if (answer.verdict === 'throttled') {
      return [advice(name, `${issuer} asks to be left alone: ${answer.message}`, 'Ask again later.'), ...clock];
    }
    return [fine(name, `${issuer} refuses a key that nobody registered`), ...clock];
  } finally {
    await prover.close();
  }
}
