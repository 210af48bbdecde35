/** An example of each command, for docs/cli.md. A test parses each of them with the real command line. */

const CLIENT = '185019846023/mcp-auth/4711';
const APP = '185019846023/mcp-auth';

export const EXAMPLES: Readonly<Record<string, string>> = {
  'rekeyd start': 'rekeyd start\nrekeyd start --no-http --no-schedule # a second worker that only does jobs',
  'rekeyd rotate': `rekeyd rotate ${CLIENT} --reason "laptop lost" --wait
rekeyd rotate --app ${APP} --wait finished --json
rekeyd rotate ${CLIENT} --compromised --reason "key in a log" --wait finished`,
  'rekeyd plan': `rekeyd plan --all
rekeyd plan ${CLIENT} --verbose
rekeyd plan --kek kek-2026-11 --compromised`,
  'rekeyd status': `rekeyd status
rekeyd status ${CLIENT}
rekeyd status --state failed --limit 20`,
  'rekeyd enroll': `rekeyd enroll ${CLIENT} --reason "it reads its key folder since 12 November"`,
  'rekeyd rollback': `rekeyd rollback ${CLIENT} --reason "the partner refuses the new key" --wait`,
  'rekeyd abandon': `rekeyd abandon ${CLIENT} --reason "the server lost the client"`,
  'rekeyd approve': 'rekeyd approve qk3Zr9Xw0TnBa --reason "talked to Alice"',
  'rekeyd pause':
    'rekeyd pause --all --reason "incident 4711" --for 4h\nrekeyd pause --policy payments --reason "quarter end"',
  'rekeyd resume': 'rekeyd resume --all\nrekeyd resume --policy payments --reason "the cohort signs in"',
  'rekeyd release': `rekeyd release ${CLIENT} --to payments.pem --reason "the team rotates it"`,
  'rekeyd drift': `rekeyd drift\nrekeyd drift ${CLIENT}`,
  'rekeyd drift accept': `rekeyd drift accept ${CLIENT} --reason "the team added a key"`,
  'rekeyd drift repair': `rekeyd drift repair ${CLIENT} --reason "a script wrote an old key set"`,
  'rekeyd identify': 'rekeyd identify leaked.pem\nrekeyd identify - < found.json',
  'rekeyd probe': `rekeyd probe ${APP}`,
  'rekeyd audit tail': 'rekeyd audit tail -n 50\nrekeyd audit tail --follow --json',
  'rekeyd audit export': 'rekeyd audit export ./audit',
  'rekeyd audit keys': `rekeyd audit keys ./audit --at 2026-11-27T03:00:00Z --client ${CLIENT}`,
  'rekeyd audit verify': 'rekeyd audit verify ./audit\nrekeyd audit verify ./audit --public-key audit-key.pem',
  'rekeyd audit rotate-key': 'rekeyd audit rotate-key --reason "KEK in a stolen backup"',
  'rekeyd audit new-segment': 'rekeyd audit new-segment --reason "the log was restored from a backup"',
  'rekeyd keys import': `rekeyd keys import ${CLIENT} --file key.pem
rekeyd keys import --dir keys-of-all-clients --dry-run`,
  'rekeyd keys rewrap': 'rekeyd keys rewrap',
  'rekeyd keys cbom': `rekeyd keys cbom --app ${APP} > keys.cdx.json`,
  'rekeyd store status': 'rekeyd store status',
  'rekeyd store declare-loss': 'rekeyd store declare-loss --reason "disk lost, restored from the backup of 3:00"',
  'rekeyd token create': `rekeyd token create prometheus --scope metrics
rekeyd token create siem --scope rotate read --app ${APP} --expires 30d`,
  'rekeyd token list': 'rekeyd token list',
  'rekeyd token revoke': 'rekeyd token revoke siem --reason "the SIEM moved"',
  'rekeyd webhooks list': 'rekeyd webhooks list',
  'rekeyd webhooks dead': 'rekeyd webhooks dead siem',
  'rekeyd webhooks retry': 'rekeyd webhooks retry siem\nrekeyd webhooks retry siem 4711 4712',
  'rekeyd webhooks discard': 'rekeyd webhooks discard siem 4711 --reason "the receiver is gone"',
  'rekeyd doctor': 'rekeyd doctor\nrekeyd doctor --json',
  'rekeyd reload': 'rekeyd reload --reason "new policy for payments"',
  'rekeyd health': 'rekeyd health',
  'rekeyd config check': 'rekeyd config check --config new.yaml',
  'rekeyd config schema': 'rekeyd config schema > rekeyd.schema.json',
  'rekeyd completion': 'source <(rekeyd completion bash)',
};
