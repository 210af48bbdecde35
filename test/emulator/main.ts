/** `npm run emulator`: a local Wacht, to try rekeyd and the API on. See {@link USAGE}. */
import { parseArgs } from 'node:util';
import { messageOf } from '../../src/errors.ts';
import { codeOf } from '../../src/files/durable.ts';
import { WACHT_RATE_LIMITS } from './credentials.ts';
import { DEPLOYMENT, REPLAY_KEYS, seedFleet, seedReplay } from './seed.ts';
import { type Emulator, startEmulator } from './server.ts';
import { configFor, writeKeys } from './try-out.ts';

const USAGE = `npm run emulator [-- OPTIONS]: a local Wacht, to try rekeyd and the API on

  --port N    listens on this port of 127.0.0.1; 0 is any free one (default: 8787)
  --keys DIR  writes the private keys of its clients to DIR, for \`rekeyd keys import --dir\`
  --replay    holds what the recorded calls of the real server need, and prints the arguments for a script that makes them
  --help      shows this

test/emulator/README.md says what it serves.`;

const values = readOptions();
if (values.help) end(0, USAGE);
const port = readPort(values.port);

const emulator = await startEmulator({
  port,
  admin: true,
  logLimit: 1000,
  rateLimits: WACHT_RATE_LIMITS,
  onAnswered: ({ method, path, status, verdict = '', why = '' }) =>
    console.log([new Date().toISOString(), status, method, path, verdict, why].join(' ').trimEnd()),
}).catch((error: unknown) => end(1, whyNotListening(error)));

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void emulator.close());
}

const told = values.replay ? replayText(emulator) : await fleetText(emulator, values.keys);
console.log(`A local Wacht listens on ${emulator.url}\n\n${told}\n\nStop it with Ctrl-C.\n`);

function end(code: 0 | 1 | 2, message: string): never {
  if (code === 0) console.log(message);
  else console.error(message);
  process.exit(code);
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        port: { type: 'string', default: '8787' },
        keys: { type: 'string' },
        replay: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    return values;
  } catch (error) {
    return end(2, `${messageOf(error)}\n\n${USAGE}`);
  }
}

function readPort(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  return end(2, `--port ${text} is no port: give a number from 0 (any free port) to 65535.`);
}

function whyNotListening(error: unknown): string {
  const why =
    codeOf(error) === 'EADDRINUSE' ? 'another program listens there, perhaps another emulator' : messageOf(error);
  return `The emulator cannot listen on port ${port} of 127.0.0.1: ${why}. Stop that program, or choose another port: \`npm run emulator -- --port 0\` takes any free one.`;
}

async function fleetText(wacht: Emulator, keysDir: string | undefined): Promise<string> {
  const fleet = seedFleet(wacht);
  const { apiKey, clients } = fleet;
  const keys =
    keysDir === undefined
      ? new Map<string, string>()
      : await writeKeys(keysDir, fleet).catch((error: unknown) =>
          end(1, `The private keys cannot be written to ${keysDir}: ${messageOf(error)}. Give another folder.`),
        );
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
