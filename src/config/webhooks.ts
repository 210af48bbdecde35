/** The section `webhooks`: receivers that are told what happens. */
import { isPrivateAddress } from '../core/address.ts';
import { AUDIT_TYPES } from '../core/event.ts';
import { isLoopback } from '../core/host.ts';
import * as field from './fields.ts';
import { choice, duration, list, section, text } from './fields.ts';
import { didYouMean } from './problems.ts';
import { authorities, proxy } from './route.ts';
import { Secret } from './secret.ts';
import { REFERENCE_PATTERN, readReference, type Sources } from './secrets.ts';
import { FORMATS, type WebhookConfig } from './telling.ts';

export function webhook(sources: Sources) {
  const secret = (description: string) => field.secret(`${description} env:NAME or file:PATH.`, sources, signingSecret);
  return section({
    name: field.name('Its name in commands, metrics and logs. Another name is another webhook.'),
    url: target('Where events are posted: https://…, or env:NAME or file:PATH where the URL is a secret.', sources),
    format: choice('standard: our own payload, signed. The others: what these products take.', FORMATS).prefault(
      'standard',
    ),
    secret: secret('Signs each event as Standard Webhooks says: whsec_ and 24 to 64 bytes in base64.').optional(),
    old_secret: secret('The secret from before, while it is replaced. It signs each event, too.').optional(),
    routing_key: field
      .secret('format: pagerduty: the integration key. env:NAME or file:PATH.', sources, field.headerSecret)
      .optional(),
    events: list(event(), 'event')
      .describe('The audit types that it is told of. Absent: all but audit.sealed.')
      .optional(),
    only: list(field.reach('An app or a client.'), 'app or client')
      .describe('Apps and clients that it is told of. Events about no client are told too. Absent: all.')
      .optional(),
    allow_private: list(hostName(), 'host')
      .describe('Hosts of its URL that may have a private address, or lead to this machine.')
      .optional(),
    timeout: duration('How long one try may take.', { most: '5m' }).prefault('10s'),
    give_up_after: duration('An event that could not be delivered for so long becomes a dead letter.', {
      most: '30d',
    }).prefault('24h'),
    proxy: proxy('How the URL is connected to: env, none, or the URL of a proxy.', sources).prefault('env'),
    ca: authorities('PEM certificates of authorities that are trusted beside the usual ones.', sources).optional(),
  }).transform((input, context): WebhookConfig => {
    const { name, url, format, routing_key: routingKey = null, events = [], only = [] } = input;
    const secrets = [input.secret, input.old_secret].filter((one) => one !== undefined);
    const allowPrivate = (input.allow_private ?? []).map((host) => host.toLowerCase());
    const problems = [...urlProblems(url, format, allowPrivate), ...secretProblems(format, input)];
    for (const [setting, message] of problems) context.addIssue({ code: 'custom', path: [setting], message });
    return {
      ...{ name, url: url.secret, format, secrets, routingKey, events, only, allowPrivate },
      ...{ timeoutMs: input.timeout, giveUpMs: input.give_up_after },
      route: { proxy: input.proxy, authorities: input.ca ?? [] },
    };
  });
}

type Found = readonly (readonly [setting: string, message: string])[];

export interface Target {
  readonly secret: Secret;
  /** It stands in the config itself. */
  readonly isWritten: boolean;
}

function urlProblems(
  { secret, isWritten }: Target,
  format: WebhookConfig['format'],
  allowed: readonly string[],
): Found {
  const { protocol, hostname } = new URL(secret.reveal());
  const isAllowed = allowed.includes(hostname);
  // The address of a name is looked at when it is connected to.
  const address = /^\[(.*)\]$/.exec(hostname)?.[1] ?? (/^[\d.]+$/.test(hostname) ? hostname : null);
  if (address !== null && isPrivateAddress(address) && !isAllowed) {
    return [['url', `leads into a private network: if that is meant, write allow_private: ["${hostname}"] beside it`]];
  }
  if (protocol === 'http:' && !(isLoopback(hostname) && isAllowed)) {
    const way = isLoopback(hostname) ? `, or allow_private: ["${hostname}"] beside it` : '';
    return [['url', `is http://, which anybody between can read and change: write https://${way}`]];
  }
  if (isWritten && (format === 'slack' || format === 'teams')) {
    const message = `is a secret with format: ${format}, since anybody who knows it can post: store it in a file or a variable, and write file:PATH or env:NAME`;
    return [['url', message]];
  }
  return [];
}

interface Given {
  readonly secret?: Secret | undefined;
  readonly old_secret?: Secret | undefined;
  readonly routing_key?: Secret | undefined;
}

function secretProblems(format: WebhookConfig['format'], given: Given): Found {
  const needed = { standard: 'secret', slack: null, teams: null, pagerduty: 'routing_key' }[format];
  const has = (setting: keyof Given) => given[setting] !== undefined;
  const found: (readonly [string, string])[] = [];
  if (needed === 'secret' && !has('secret')) {
    found.push([needed, 'is missing: write file:PATH. `echo whsec_$(openssl rand -base64 32)` makes one']);
  }
  if (needed === 'routing_key' && !has(needed)) {
    found.push([needed, 'is missing: write file:PATH of the integration key']);
  }
  for (const setting of ['secret', 'old_secret', 'routing_key'] as const) {
    const isOfUse = setting === 'routing_key' ? needed === setting : needed === 'secret';
    if (has(setting) && !isOfUse) found.push([setting, `has no use with format: ${format}: remove it`]);
  }
  return found;
}

function target(description: string, sources: Sources) {
  const expected = 'https://… or a reference, env:NAME or file:PATH';
  return text({ description }, expected, async (value, refuse): Promise<Target> => {
    const isWritten = !new RegExp(REFERENCE_PATTERN).test(value);
    const found = isWritten ? { text: value } : await readReference(value, sources);
    if ('problem' in found) return refuse(found.problem);
    const url = URL.parse(found.text);
    if (url === null || !/^https?:$/.test(url.protocol)) {
      return refuse(`${isWritten ? 'is no' : 'does not lead to a'} URL: write ${expected}`);
    }
    if (url.username !== '' || url.password !== '')
      return refuse('must not hold a user or password: the signature says who sends');
    return { secret: new Secret(url.href), isWritten };
  });
}

/** Standard Webhooks, "Signing secret serialization": 24 to 64 random bytes. */
function signingSecret(value: string): Secret | string {
  const bytes = Buffer.from(value.replace(/^whsec_/, ''), 'base64');
  const isWhole = /^whsec_[A-Za-z0-9+/]+={0,2}$/.test(value) && `whsec_${bytes.toString('base64')}` === value;
  if (isWhole && bytes.length >= 24 && bytes.length <= 64) return new Secret(bytes);
  return 'does not lead to a secret of Standard Webhooks: store whsec_ and 24 to 64 random bytes in base64 there, as `echo whsec_$(openssl rand -base64 32)` makes them';
}

function event() {
  const expected = 'an audit type such as rotation.failed, or rotation.*';
  const about = {
    description: 'Such as rotation.failed, or rotation.* for all of rotation.',
    pattern: '^[a-z]+\\.(?:[a-z_]+|\\*)$',
  };
  return text(about, expected, (value, refuse) => {
    const isKnown = value.endsWith('.*')
      ? AUDIT_TYPES.some((type) => type.startsWith(value.slice(0, -1)))
      : AUDIT_TYPES.includes(value);
    return isKnown ? value : refuse(`is no event: write ${expected}.${didYouMean(value, AUDIT_TYPES)}`);
  });
}

function hostName() {
  const expected = 'a host as it stands in the url, without its port, such as hooks.internal or 10.1.2.3';
  return text(
    { description: 'As they stand in the URL, without a port: hooks.internal or 10.1.2.3.' },
    expected,
    (value, refuse) =>
      URL.parse(`https://${value}`)?.hostname === value.toLowerCase()
        ? value
        : refuse(`is not a host: write ${expected}`),
  );
}
