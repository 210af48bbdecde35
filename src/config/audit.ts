/** The section `audit`: how much of the audit log stays in Redis, and where entries are exported to before they are cut. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { isLoopback } from '../core/host.ts';
import * as field from './fields.ts';
import { choice, duration, section, text } from './fields.ts';
import type { ProxyConfig } from './model.ts';
import { authorities, proxy } from './route.ts';
import type { Secret } from './secret.ts';
import type { Sources } from './secrets.ts';
import type { AuditConfig, AuditExportConfig } from './telling.ts';

const KINDS = ['folder', 'stdout', 'syslog', 'https'] as const;

/** Less is a handful of rotations. */
const LEAST_BYTES = 1024 ** 2;

export function audit(sources: Sources) {
  return section({
    keep: duration('How long sealed entries stay in Redis once they are exported.').prefault('90d'),
    most: size(
      'How much of the log stays in Redis. When it is larger, exported entries are cut before `keep` is over.',
    ).prefault('200MiB'),
    export: exports(sources)
      .describe(
        'A folder, or a list of places that all entries go to. Absent: nothing is exported, and nothing is cut.',
      )
      .optional(),
  }).transform(
    ({ keep, most, export: places = [] }): AuditConfig => ({ keepMs: keep, mostBytes: most, exports: places }),
  );
}

/** Bytes, in units of 1024. */
function size(description: string) {
  const pattern = '^[1-9][0-9]{0,8}(KiB|MiB|GiB)$';
  const expected = 'a number and a unit, such as 200MiB or 2GiB';
  return text({ description, pattern }, expected, (value, refuse) => {
    const [, digits, unit] = /^([1-9][0-9]{0,8})(KiB|MiB|GiB)$/.exec(value) ?? [];
    if (digits === undefined) return refuse(`is not a size: write ${expected}`);
    const bytes = Number(digits) * 1024 ** (['KiB', 'MiB', 'GiB'].indexOf(unit ?? '') + 1);
    return bytes < LEAST_BYTES ? refuse('is too small for a log: write at least 1MiB') : bytes;
  });
}

function exports(sources: Sources) {
  const error = 'is neither a folder nor a list of exports: write a path, or "- kind: …" for each';
  return z
    .union(
      [field.path('Folder that all workers share.', sources), z.array(place(sources), { error }).min(1, { error })],
      {
        error,
      },
    )
    .transform((given, context): readonly AuditExportConfig[] => {
      if (typeof given === 'string') return [{ kind: 'folder', name: 'folder', id: 'folder', path: given }];
      const names = given.map(({ name }) => name);
      const twice = names.find((name, index) => names.indexOf(name) !== index);
      if (twice === undefined) return given;
      const message = `has two exports with the name ${twice}: write another name for one of them`;
      context.addIssue({ code: 'custom', message });
      return z.NEVER;
    });
}

interface Given {
  readonly kind: (typeof KINDS)[number];
  readonly name?: string | undefined;
  readonly path?: string | undefined;
  readonly url?: string | undefined;
  readonly token?: Secret | undefined;
  readonly proxy?: ProxyConfig | null | undefined;
  readonly ca?: readonly string[] | undefined;
}

/** Which settings go with which kind; all but `name`. */
const SETTINGS: Readonly<
  Record<Given['kind'], { readonly needs: readonly string[]; readonly takes: readonly string[] }>
> = {
  folder: { needs: ['path'], takes: [] },
  stdout: { needs: [], takes: [] },
  syslog: { needs: ['url'], takes: ['ca'] },
  https: { needs: ['url'], takes: ['token', 'ca', 'proxy'] },
};

function place(sources: Sources) {
  return section({
    kind: choice(
      'folder: files of JSON Lines; stdout: of the worker; syslog: RFC 5424; https: POST of batches.',
      KINDS,
    ),
    name: field
      .name('Its name in metrics and messages. Absent: its kind. With another name a new export begins.')
      .optional(),
    path: field.path('kind: folder: a folder that all workers share.', sources).optional(),
    url: text(
      {
        description:
          'kind: https: the URL that entries are posted to. kind: syslog: tls://host:port or tcp://host:port.',
      },
      'a URL',
      (url) => url,
    ).optional(),
    token: field
      .secret('kind: https: the bearer token, env:NAME or file:PATH.', sources, field.headerSecret)
      .optional(),
    proxy: proxy('kind: https: how the URL is connected to: env, none, or the URL of a proxy.', sources).optional(),
    ca: authorities('PEM certificates of authorities that are trusted beside the usual ones.', sources).optional(),
  }).transform((given, context): AuditExportConfig => {
    const problem = problemOf(given);
    if (problem === null) return exportOf(given);
    context.addIssue({ code: 'custom', ...problem });
    return z.NEVER;
  });
}

interface PlaceProblem {
  readonly path: string[];
  readonly message: string;
}

function problemOf(given: Given): PlaceProblem | null {
  const { kind, url } = given;
  const { needs, takes } = SETTINGS[kind];
  const written = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  const missing = needs.find((name) => !written.includes(name));
  if (missing !== undefined) return { path: [missing], message: `is missing: kind ${kind} needs it` };
  const odd = written.find((name) => !['kind', 'name', ...needs, ...takes].includes(name));
  if (odd !== undefined) return { path: [odd], message: `does not go with kind ${kind}: remove it` };
  const why = kind === 'https' ? notHttps(url ?? '') : kind === 'syslog' ? notSyslog(url ?? '') : null;
  return why === null ? null : { path: ['url'], message: why };
}

function notHttps(value: string): string | null {
  const url = URL.parse(value);
  const expected = 'write https://host/path';
  if (url === null || !/^https?:$/.test(url.protocol)) return `is not an https URL: ${expected}`;
  if (url.username !== '' || url.password !== '' || url.hash !== '') {
    return 'must not hold a user, a password or "#": write the token as token: env:NAME or file:PATH';
  }
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    return `uses http:// to another machine, which anybody between can read and change: ${expected}`;
  }
  return null;
}

function notSyslog(value: string): string | null {
  const url = URL.parse(value);
  const isPlain = url !== null && url.pathname.replace('/', '') === '' && url.search === '' && url.username === '';
  if (isPlain && /^(tls|tcp):$/.test(url.protocol) && url.hostname !== '' && url.port !== '') return null;
  return 'is not the address of a syslog server: write tls://host:6514, or tcp://host:601 where nobody can listen in';
}

function exportOf({
  kind,
  name = kind,
  path = '',
  url = '',
  token,
  proxy: way = null,
  ca = [],
}: Given): AuditExportConfig {
  // Another URL is another receiver: it gets all that the log still has, and does not go on where the one before stopped.
  const id = `${name}@${createHash('sha256').update(url).digest('hex').slice(0, 8)}`;
  switch (kind) {
    case 'folder':
      return { kind, name, id: name, path };
    case 'stdout':
      return { kind, name, id: name };
    case 'syslog': {
      const { protocol, hostname, port } = new URL(url);
      const host = hostname.replace(/^\[|\]$/g, '');
      return { kind, name, id, host, port: Number(port), tls: protocol === 'tls:', authorities: ca };
    }
    case 'https':
      return { kind, name, id, url, token: token ?? null, route: { proxy: way, authorities: ca } };
    default:
      return kind satisfies never;
  }
}
