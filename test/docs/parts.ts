/** What the configuration reference says beside the schema: its introduction, and of each part an example and where more is written. */

import { table } from './markdown.ts';

/** How values of each type are written. */
const VALUES = [
  ['duration', 'a number and a unit: `500ms`, `30s`, `10m`, `6h`, `30d`'],
  ['percentage', 'such as `20%`'],
  ['size', 'such as `200MiB` or `2GiB`'],
  ['mode', 'permissions of a file in octal, in quotes: `"0640"`. Without quotes YAML reads a number'],
  [
    '`env:NAME`, `file:PATH`',
    'where a secret is: an environment variable, or a file. The config never holds the secret itself',
  ],
  ['app, client', '`deployment/app-slug`, `deployment/app-slug/oauth_client_id`'],
  ['section', 'settings below a name, indented. The rows after it with its name and a dot are these settings'],
  ['sections by name', 'sections below names that you choose'],
  ['list of sections', 'sections that each begin with `- `'],
];

export const INTRODUCTION = `rekeyd reads one YAML file: the one named by \`--config\`, else by \`REKEYD_CONFIG\`, else \`./rekeyd.yaml\`. Only \`encryption\` and \`deployments\` are required. [\`rekeyd.example.yaml\`](../rekeyd.example.yaml) is a whole file with every setting.

\`\`\`sh
rekeyd config check     # reports every problem and every warning at once
rekeyd config schema    # prints the JSON Schema, for editors
rekeyd reload           # every worker reads its file again
\`\`\`

A setting that rekeyd does not know is an error. Which settings need a restart: [operations.md](operations.md#reload).

How values are written:

${table(['Type', 'Write'], VALUES)}

Relative paths start at the folder of the config file. An \`http://\` URL is refused unless it leads to this machine.`;

export interface Part {
  /** YAML that is a valid config together with what is required. */
  readonly example: string;
  /** Where more is written; empty: nowhere. */
  readonly more: string;
}

const REDIS = `redis:
  url: rediss://redis.example.com:6380
  username: rekeyd
  password: file:./secrets/redis
  replicas: 1
`;

const ENCRYPTION = `encryption:
  keks:
    - { id: kek-2026-12, key: file:./secrets/rekeyd_kek_2 } # encrypts, and decrypts
    - { id: kek-2026-11, key: file:./secrets/rekeyd_kek } # decrypts
`;

const DEPLOYMENTS = `deployments:
  - id: "185019846023"
    api_key: file:./secrets/wacht_api_key
    rate_limit: { max: 10, per: 1s }
    apps:
      - slug: mcp-auth
        issuer: https://auth.example.com
      - slug: payments-api
        clients: [{ id: "4711" }, { id: "4712", policy: payments }]
policies: { payments: {} }
`;

const POLICIES = `policies:
  default:
    schedule: "0 3 * * *"
    timezone: Europe/Berlin
    rotate_every: 30d
    windows: ["Mon-Thu 01:00-05:00"]
    cohort: { first: 5%, then: 1h, stop_after: 1 }
`;

const SINKS = `sinks:
  - { kind: directory, path: ./data/keys, mode: "0640", dir_mode: "0750" }
  - { kind: vault, url: "https://vault.example.com:8200", auth: { token: file:./secrets/vault } }
`;

const HTTP = `http:
  listen: 0.0.0.0:8443
  public: 0.0.0.0:8081
  tls: { cert: file:./tls/cert.pem, key: file:./tls/key.pem, client_ca: file:./tls/callers.pem }
  certificates: [{ name: siem.example.com, scopes: [rotate, read], only: 185019846023/mcp-auth }]
`;

const WEBHOOKS = `webhooks:
  - name: siem
    url: https://siem.example.com/rekeyd
    secret: file:./secrets/webhook
    events: [rotation.*, key.compromised]
`;

const TELEMETRY = `telemetry:
  traces:
    endpoint: https://otel.example.com/v1/traces
    headers: { authorization: file:./secrets/otel }
    sample: 10%
`;

const AUDIT = `audit:
  keep: 90d
  most: 200MiB
  export:
    - { kind: folder, path: ./audit }
    - { kind: syslog, url: "tls://siem.example.com:6514" }
`;

const QUEUE = `queue:
  requests: off
  producers:
    siem: { may: [rotate, compromise], only: [185019846023/mcp-auth] }
`;

export const PARTS: Readonly<Record<string, Part>> = {
  redis: {
    example: REDIS,
    more: 'Write one of `url`, `sentinels` and `cluster`, or none: then rekeyd runs a server of its own in `data_dir`. More: [operations.md](operations.md#redis), [high-availability.md](high-availability.md).',
  },
  encryption: {
    example: ENCRYPTION,
    more: 'A KEK has one of `key`, `vault_transit` and `aws_kms`. More: [kms.md](kms.md).',
  },
  deployments: { example: DEPLOYMENTS, more: '' },
  policies: { example: POLICIES, more: 'What a policy leaves out has the default.' },
  approval: { example: 'approval: { compromise_all: 2 }\n', more: 'More: [runbook.md](runbook.md#a-second-person).' },
  sinks: {
    example: SINKS,
    more: 'Without this part there is one sink, the folder `keys` in `data_dir`. More: [sinks.md](sinks.md).',
  },
  http: { example: HTTP, more: 'More: [api.md](api.md).' },
  leaks: {
    example: 'leaks:\n  gitguardian: { secret: file:./secrets/gitguardian, rotate: true }\n',
    more: 'More: [leaks.md](leaks.md).',
  },
  alerts: {
    example: 'alerts:\n  heartbeat: { url: file:./secrets/heartbeat, every: 1m }\n',
    more: 'More: [operations.md](operations.md#alerts).',
  },
  webhooks: { example: WEBHOOKS, more: 'More: [webhooks.md](webhooks.md).' },
  telemetry: { example: TELEMETRY, more: 'More: [operations.md](operations.md#traces).' },
  audit: { example: AUDIT, more: 'More: [audit.md](audit.md).' },
  queue: { example: QUEUE, more: 'More: [queue.md](queue.md).' },
  publish: {
    example: 'publish:\n  path: ./public\n  base_url: https://keys.example.com/jwks\n',
    more: 'Needed when there is one. More: [operations.md](operations.md#sets-that-servers-fetch-format-jwks_uri).',
  },
};
