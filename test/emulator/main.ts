/**
 * `npm run emulator [-- --port N] [-- --keys DIR] [-- --replay]`: a local Wacht, to try rekeyd and the API on. With `--keys` it writes the private keys of
 * its clients there. With `--replay` it holds what the recorded calls of the real server need, and prints the arguments for a script that makes them.
 */
import { parseArgs } from 'node:util';
import { WACHT_RATE_LIMITS } from './credentials.ts';
import { DEPLOYMENT, REPLAY_KEYS, seedFleet, seedReplay } from './seed.ts';
import { type Emulator, startEmulator } from './server.ts';
import { configFor, writeKeys } from './try-out.ts';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '8787' },
    keys: { type: 'string' },
    replay: { type: 'boolean', default: false },
  },
});

const emulator = await startEmulator({
  port: Number(values.port),
  admin: true,
  logLimit: 1000,
  rateLimits: WACHT_RATE_LIMITS,
  onAnswered: ({ method, path, status, verdict = '', why = '' }) =>
    console.log([new Date().toISOString(), status, method, path, verdict, why].join(' ').trimEnd()),
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void emulator.close());
}

console.log(`A local Wacht listens on ${emulator.url}\n`);
console.log(values.replay ? replayText(emulator) : await fleetText(emulator, values.keys));
console.log('\nStop it with Ctrl-C.\n');

async function fleetText(wacht: Emulator, keysDir: string | undefined): Promise<string> {
  const fleet = seedFleet(wacht);
  const { apiKey, clients } = fleet;
  const keys = keysDir === undefined ? new Map<string, string>() : await writeKeys(keysDir, fleet);
  const apps = [...new Set(clients.map(({ app }) => app))];
  const base = `${wacht.url}/deployments/${DEPLOYMENT}/oauth/apps`;
  const curl = `curl -s -H 'Authorization: Bearer ${apiKey}'`;
  const first = clients[0]?.client.id;
  return `  deployment   ${DEPLOYMENT}
  API key      ${apiKey}
${apps.map((app) => `  app          ${app.slug}  https://${app.fqdn}  (${app.selection})`).join('\n')}
${clients.map(({ app, client }) => `  client       ${DEPLOYMENT}/${app.slug}/${client.id}  ${client.client_id}  ${keysDir === undefined ? '' : (keys.get(client.id) ?? '(nobody has its private key)')}`.trimEnd()).join('\n')}
${keysDir === undefined ? '\nTheir private keys are not kept. Start with `-- --keys DIR` to get them, for `rekeyd keys import`.\n' : ''}
rekeyd.yaml for this server, with API_KEY=${apiKey} and a KEK (\`openssl rand -base64 32 | tr '+/' '-_' | tr -d '='\`) in the environment:

${configFor(wacht.url, fleet).trimEnd()}

${curl} ${base}
${curl} ${base}/mcp-auth/clients
${curl} -X PATCH -H 'Content-Type: application/json' -d '{"client_name":"renamed"}' ${base}/mcp-auth/clients/${first}
curl -s -X POST -d '{"kind":"rate_limited","match":{"method":"PATCH"}}' ${wacht.url}/_emulator/faults
curl -s ${wacht.url}/_emulator/faults`;
}

function replayText(wacht: Emulator): string {
  seedReplay(wacht);
  const { key, other, token, reader } = REPLAY_KEYS;
  return `--api ${wacht.url} --key ${key} --other-key ${other} --dep-key ${token} --dep-ro-key ${reader}`;
}
