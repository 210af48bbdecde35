/** What differs between two configs, in names and never in values: what a reload tells, and what it may not do. */
import type { KekConfig } from './kek.ts';
import type { AppConfig, Config, DeploymentConfig, Problem } from './model.ts';
import { Secret } from './secret.ts';

/** Members that say something about the file, and are no settings. */
const ABOUT: readonly string[] = ['file', 'secretFiles', 'watchedFiles', 'warnings'];

/** What may change while rekeyd runs. A setting that is named nowhere here is fixed. */
const CHANGEABLE: readonly string[] = [
  'encryption',
  'deployments',
  'policies',
  'breaker',
  'approval',
  'sinks',
  'publish',
  'leaks',
  'alerts',
  'audit',
  'webhooks',
  'queue',
  'reconcileEveryMs',
  'shutdownGraceMs',
];

/** One line for each thing that differs, such as `policy payments: overlap` or `app 185/mcp-auth added`. Empty when nothing does. */
export function changesBetween(before: Config, after: Config): readonly string[] {
  return [
    ...Object.keys({ ...before, ...after })
      .filter((member) => ![...ABOUT, 'encryption', 'deployments', 'policies', 'webhooks'].includes(member))
      .filter((member) => !same(memberOf(before, member), memberOf(after, member)))
      .map((member) => settingName(member)),
    ...kekChanges(before, after),
    ...listChanges('deployment', byId(before.deployments), byId(after.deployments), deploymentChanges),
    ...listChanges('webhook', byName(before.webhooks), byName(after.webhooks), (name, old, fresh) =>
      settingsThatDiffer(old, fresh).map((setting) => `webhook ${name}: ${setting}`),
    ),
    ...listChanges('policy', entriesOf(before.policies), entriesOf(after.policies), (name, old, fresh) =>
      settingsThatDiffer(old, fresh).map((setting) => `policy ${name}: ${setting}`),
    ),
  ];
}

/** What the new config changes although it is fixed while rekeyd runs. Users and passwords of Redis, and its certificates, may change. */
export function fixedChanges(before: Config, after: Config): readonly Problem[] {
  const fixed = Object.keys({ ...before, ...after }).filter((member) => ![...ABOUT, ...CHANGEABLE].includes(member));
  return fixed
    .filter((member) => !same(fixedPart(before, member), fixedPart(after, member)))
    .map((member) => {
      const path = member === 'http' ? fixedOfHttp(before, after) : settingName(member);
      return { path, message: 'is fixed while rekeyd runs: put the old value back, or restart rekeyd', line: null };
    });
}

function fixedPart(config: Config, member: string): unknown {
  if (member === 'redis') return placeOfRedis(config.redis);
  // Certificates are renewed, and what their owners may do changes.
  if (member === 'http') return fixedHttp(config.http);
  return memberOf(config, member);
}

function fixedHttp({ listen, publicListen, tls }: Config['http']) {
  return { listen, publicListen, tls: tls === null ? null : { asksForCertificates: tls.clientCa !== null } };
}

function fixedOfHttp({ http: before }: Config, { http: after }: Config): string {
  if (!same(before.listen, after.listen)) return 'http.listen';
  return same(before.publicListen, after.publicListen) ? 'http.tls' : 'http.public';
}

/** A `Secret` is written as `[secret]`. */
function placeOfRedis({ server, ...rest }: Config['redis']): string {
  if (server.kind === 'url') return JSON.stringify({ ...rest, url: withoutLogin(server.url.reveal()) });
  return JSON.stringify({ ...rest, server: { ...server, login: null } });
}

function withoutLogin(text: string): string {
  const url = URL.parse(text);
  if (url === null) return text;
  [url.username, url.password] = ['', ''];
  return url.href;
}

function kekChanges({ encryption: before }: Config, { encryption: after }: Config): readonly string[] {
  const [old, fresh] = [byId(before.keks), byId(after.keks)];
  const changes = listChanges('KEK', old, fresh, (id, kek, next) =>
    settingsThatDiffer(kek, next).map((setting) => `KEK ${id}: ${setting === 'key' ? 'another value' : setting}`),
  );
  if (before.keks[0]?.id === after.keks[0]?.id) return changes;
  return [...changes, `KEK ${after.keks[0]?.id} encrypts from now on`];
}

/** With the same settings and secrets. */
export function sameKek(before: KekConfig, after: KekConfig): boolean {
  return same(before, after);
}

function deploymentChanges(id: string, before: DeploymentConfig, after: DeploymentConfig): readonly string[] {
  const { apps: old, ...rest } = before;
  const { apps: fresh, ...others } = after;
  const bySlug = (apps: readonly AppConfig[]) => new Map(apps.map((app) => [`${id}/${app.slug}`, app]));
  return [
    ...settingsThatDiffer(rest, others).map((setting) => `deployment ${id}: ${setting}`),
    ...listChanges('app', bySlug(old), bySlug(fresh), (app, was, is) =>
      settingsThatDiffer(was, is).map((setting) => `app ${app}: ${setting}`),
    ),
  ];
}

function listChanges<T>(
  what: string,
  before: ReadonlyMap<string, T>,
  after: ReadonlyMap<string, T>,
  within: (name: string, before: T, after: T) => readonly string[],
): readonly string[] {
  const names = new Set([...before.keys(), ...after.keys()]);
  return [...names].flatMap((name) => {
    const [old, fresh] = [before.get(name), after.get(name)];
    if (old === undefined) return [`${what} ${name} added`];
    if (fresh === undefined) return [`${what} ${name} removed`];
    return within(name, old, fresh);
  });
}

function settingsThatDiffer(before: object, after: object): readonly string[] {
  const members = Object.keys({ ...before, ...after });
  return members.filter((member) => !same(memberOf(before, member), memberOf(after, member))).map(settingName);
}

function byId<T extends { readonly id: string }>(items: readonly T[]): ReadonlyMap<string, T> {
  return new Map(items.map((item) => [item.id, item]));
}

function byName<T extends { readonly name: string }>(items: readonly T[]): ReadonlyMap<string, T> {
  return new Map(items.map((item) => [item.name, item]));
}

function entriesOf<T>(members: Readonly<Record<string, T>>): ReadonlyMap<string, T> {
  return new Map(Object.entries(members));
}

function memberOf(object: object, member: string): unknown {
  return Object.entries(object).find(([name]) => name === member)?.[1];
}

/** Members that the file has under other names. */
const WRITTEN: Readonly<Record<string, string>> = {
  route: 'proxy or ca',
  secrets: 'secret or old_secret',
  giveUpMs: 'give_up_after',
};

/** As it is written in the file: `rotateEveryMs` → `rotate_every`. */
function settingName(member: string): string {
  return WRITTEN[member] ?? member.replace(/Ms$/, '').replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function same(a: unknown, b: unknown): boolean {
  if (a instanceof Secret && b instanceof Secret) return a.equals(b);
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return Object.is(a, b);
  const [left, right] = [Object.entries(a), entriesOf({ ...b })];
  return left.length === right.size && left.every(([name, value]) => right.has(name) && same(value, right.get(name)));
}
