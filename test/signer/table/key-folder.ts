/** Key folders as the table lays them out. Written without rekeyd's own sink: a set can be damaged before it is put in place. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmod, mkdir, readdir, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Case, Damage, KeySetSpec } from './schema.ts';

type Alg = NonNullable<Case['algs']>[string];

export interface TableKey {
  readonly alg: Alg;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

function generate(alg: Alg): TableKey {
  switch (alg) {
    case 'RS256':
    case 'PS256':
      return { alg, ...generateKeyPairSync('rsa', { modulusLength: 2048 }) };
    case 'EdDSA':
      return { alg, ...generateKeyPairSync('ed25519') };
    case 'ES256':
      return { alg, ...generateKeyPairSync('ec', { namedCurve: 'P-256' }) };
    case 'ES384':
      return { alg, ...generateKeyPairSync('ec', { namedCurve: 'P-384' }) };
  }
}

/** Makes each key when it is asked for the first time. */
export function tableKeys(algs: Case['algs'] = {}): (kid: string) => TableKey {
  const keys = new Map<string, TableKey>();
  return (kid) => {
    const key = keys.get(kid) ?? generate(algs[kid] ?? 'ES256');
    keys.set(kid, key);
    return key;
  };
}

export interface KeyFolder {
  readonly path: string;
  deliver(set: KeySetSpec, damage?: readonly Damage[]): Promise<void>;
  change(what: 'away' | 'back' | 'emptied'): Promise<void>;
}

const ROLES = ['current', 'next', 'previous'] as const;

export function keyFolder(root: string, layout: Case['layout'], keyOf: (kid: string) => TableKey): KeyFolder {
  const path = join(root, 'key-folder');
  let deliveries = 0;

  async function writeFiles(folder: string, set: KeySetSpec, damage: readonly Damage[]): Promise<string[]> {
    const files = filesOf(set, keyOf);
    await mkdir(folder, { recursive: true });
    for (const [name, text] of files) await writeFile(join(folder, name), text);
    for (const one of damage) await harm(join(folder, one.file), files.get(one.file) ?? '', one, keyOf);
    return readdir(folder);
  }

  async function swap(link: string, target: string): Promise<void> {
    await symlink(target, `${link}.new`);
    await rename(`${link}.new`, link);
  }

  return {
    path,
    async deliver(set, damage = []) {
      deliveries += 1;
      if (layout === 'plain') {
        await writeFiles(path, set, damage);
        return;
      }
      if (layout === 'former') {
        await writeFiles(join(root, `version-${deliveries}`), set, damage);
        await swap(path, `version-${deliveries}`);
        return;
      }
      await mkdir(join(path, 'signers'), { recursive: true });
      const names = await writeFiles(join(path, `..${deliveries}`), set, damage);
      const links = (await readdir(path)).filter((name) => name.endsWith('.json'));
      for (const name of names.filter((one) => !links.includes(one))) await symlink(`..data/${name}`, join(path, name));
      await swap(join(path, '..data'), `..${deliveries}`);
      for (const name of links.filter((one) => !names.includes(one))) await unlink(join(path, name));
      await rm(join(path, `..${deliveries - 1}`), { recursive: true, force: true });
    },
    async change(what) {
      if (what === 'away') await rename(path, `${path}.away`);
      else if (what === 'back') await rename(`${path}.away`, path);
      else {
        // Not file by file: the signer may be writing its report there.
        await rename(path, `${path}.former`);
        await mkdir(path);
        await rm(`${path}.former`, { recursive: true });
      }
    },
  };
}

type Files = Map<string, string>;

function filesOf(set: KeySetSpec, keyOf: (kid: string) => TableKey): Files {
  const first = set.current ?? set.next ?? set.previous;
  const meta = {
    client_id: set.client_id ?? 'client-4711',
    issuer: 'https://auth.example.com',
    alg: first === undefined ? 'ES256' : keyOf(first).alg,
    current: set.current ?? null,
    next: set.next ?? null,
    previous: set.previous ?? null,
    updated_at: '2026-11-23T03:00:00.000Z',
  };
  const files: Files = new Map([['meta.json', JSON.stringify(meta, null, 2)]]);
  for (const role of ROLES) {
    const kid = set[role];
    if (kid !== undefined) files.set(`${role}.jwk.json`, JSON.stringify(jwkOf(kid, keyOf(kid)), null, 2));
  }
  return files;
}

function jwkOf(kid: string, { alg, privateKey }: TableKey): Record<string, unknown> {
  return { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg, 'x-rekeyd': `rekeyd-key:${kid}` };
}

async function harm(path: string, text: string, damage: Damage, keyOf: (kid: string) => TableKey): Promise<void> {
  const write = (changed: string | Buffer) => writeFile(path, changed);
  switch (damage.how) {
    case 'half':
      return write(text.slice(0, Math.floor(text.length / 2)));
    case 'empty':
      return write('');
    case 'missing':
      return rm(path);
    case 'folder':
      await rm(path);
      await mkdir(path);
      return;
    case 'denied':
      return chmod(path, 0);
    case 'mark':
      return write(`\ufeff${text}`);
    case 'more':
      return write(`${text}{}`);
    case 'latin1':
      return write(Buffer.from(text.replace(/\}$/, ',"z":"\u00e4"}'), 'latin1'));
    case 'nan':
      return write(text.replace(/\}$/, ',"z":NaN}'));
    default:
      return write(JSON.stringify(harmed(JSON.parse(text), damage, () => jwkOf('X', keyOf('X')))));
  }
}

type Members = Record<string, unknown>;

/** What is written in the place of a private JWK, or of meta.json. */
function harmed(jwk: Members, damage: Damage, other: () => Members): Members {
  switch (damage.how) {
    case 'members':
      return { ...jwk, ...damage.members };
    case 'other_key':
      return other();
    case 'bad_alg':
      return { ...jwk, alg: 'none' };
    case 'no_secret':
      return without(jwk, ['d']);
    case 'no_primes':
      return without(jwk, ['p', 'q', 'dp', 'dq', 'qi']);
    case 'other_public':
      return { ...jwk, ...only(other(), ['n', 'x', 'y'], jwk) };
    case 'other_d':
      return { ...jwk, ...only(other(), ['d'], jwk) };
    case 'other_dp':
      return { ...jwk, ...only(other(), ['dp'], jwk) };
    case 'short_rsa': {
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
      return { ...privateKey.export({ format: 'jwk' }), kid: jwk.kid, alg: 'RS256' };
    }
    case 'padded':
      return { ...jwk, d: `${jwk.d}=` };
    case 'wrapped':
      return { ...jwk, d: String(jwk.d).replace(/^.{4}/, '$&\n') };
    case 'longer': {
      const name = 'x' in jwk ? 'x' : 'n';
      return {
        ...jwk,
        [name]: Buffer.from(`00${Buffer.from(String(jwk[name]), 'base64url').toString('hex')}`, 'hex').toString(
          'base64url',
        ),
      };
    }
    default:
      throw new Error(`no runner knows the damage ${damage.how}`);
  }
}

function without(jwk: Members, names: readonly string[]): Members {
  return Object.fromEntries(Object.entries(jwk).filter(([name]) => !names.includes(name)));
}

/** Of these members those that the other key has, too. */
function only(jwk: Members, names: readonly string[], other: Members): Members {
  return Object.fromEntries(Object.entries(jwk).filter(([name]) => names.includes(name) && name in other));
}
