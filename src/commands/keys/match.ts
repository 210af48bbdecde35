/** Which client a key file belongs to. */
import { type ClientRef, REFERENCE, splitReference } from '../../core/client.ts';
import type { Listed } from '../../rotation/import.ts';
import type { KeyFile, Unusable } from './files.ts';

/** A client that a file may name. Of those that none names, no more than this is kept. */
export interface Candidate {
  readonly ref: ClientRef;
  readonly clientId: string;
}

export interface Matched {
  readonly ref: ClientRef;
  readonly file: KeyFile;
}

export interface Matching {
  readonly matched: readonly Matched[];
  readonly unusable: readonly Unusable[];
  /** Clients that more than one file names, and those files. */
  readonly twice: ReadonlyMap<ClientRef, readonly KeyFile[]>;
}

/** What the lists of the apps came to. */
export interface FleetLists {
  /** Clients that the config takes care of. */
  readonly candidates: readonly Candidate[];
  /** Those that some file may name, as the server showed them. */
  readonly listed: ReadonlyMap<ClientRef, Listed>;
  /** By reference: rows that the API shows in a way that cannot be read, and why. */
  readonly unreadable: ReadonlyMap<string, string>;
  /** Apps with a list that could not be read, and why. */
  readonly unread: readonly Unusable[];
}

/** @param places `deployment/slug` of every app in the config */
export function matchFiles(
  files: readonly KeyFile[],
  { candidates, unreadable, unread }: FleetLists,
  places: ReadonlySet<string>,
): Matching {
  const find = finder(candidates, places);
  const whyUnknown = ({ names }: KeyFile) => {
    const problem = names.flatMap((name) => unreadable.get(name) ?? [])[0];
    if (problem !== undefined) return `the API shows its client in a way that cannot be read (${problem})`;
    const place = placeOf(names.at(-1) ?? '');
    const missing = unread.filter(({ file }) => place === null || place === file);
    if (missing.length > 0) return `the clients of ${missing.map(({ file }) => file).join(', ')} could not be read`;
    if (place !== null && !places.has(place)) return `the config has no app ${place}, and no client has that id`;
    return 'no client of the apps in the config has this name: name it by a client reference, or by a client_id';
  };
  const byClient = new Map<ClientRef, Found[]>();
  const unusable: Unusable[] = [];
  for (const file of files) {
    const { refs, isExact } = find(file.names);
    const [ref, ...others] = refs;
    if (ref === undefined) unusable.push({ file: file.shown, reason: whyUnknown(file) });
    else if (others.length > 0) {
      const reason = `${refs.length} clients have this name (${refs.slice(0, 3).join(', ')}): use the reference of one`;
      unusable.push({ file: file.shown, reason });
    } else byClient.set(ref, [...(byClient.get(ref) ?? []), { file, isExact }]);
  }
  const matched: Matched[] = [];
  const twice = new Map<ClientRef, readonly KeyFile[]>();
  for (const [ref, found] of byClient) {
    const exact = found.filter(({ isExact }) => isExact);
    const [file, ...others] = (exact.length > 0 ? exact : found).map((one) => one.file);
    if (file === undefined) continue;
    if (others.every(({ path }) => path === file.path)) matched.push({ ref, file });
    else twice.set(ref, [file, ...others]);
  }
  return { matched, unusable, twice };
}

/** A file of a client. `isExact`: by its present name, and not by one from before a rename. */
interface Found {
  readonly file: KeyFile;
  readonly isExact: boolean;
}

/** Answers the clients of the first name that is one: references come before ids, and an OAuth `client_id` before the id of a row. */
function finder(candidates: readonly Candidate[], places: ReadonlySet<string>) {
  const byName = [new Map<string, ClientRef[]>(), new Map<string, ClientRef[]>(), new Map<string, ClientRef[]>()];
  for (const { ref, clientId } of candidates) {
    const { deployment, app, id } = splitReference(ref);
    const names = [[ref, `${deployment}/${app}/${clientId}`], [clientId], [id]];
    for (const [rank, some] of names.entries()) {
      const index = byName[rank];
      for (const name of some) index?.set(name, [...(index.get(name) ?? []), ref]);
    }
  }
  return (names: readonly string[]): { readonly refs: readonly ClientRef[]; readonly isExact: boolean } => {
    for (const name of names.flatMap((one) => readings(one, places))) {
      for (const index of byName) {
        const refs = index.get(name);
        if (refs !== undefined) return { refs: [...new Set(refs)], isExact: names.includes(name) };
      }
    }
    return { refs: [], isExact: false };
  };
}

/** A reference to an app that the config does not have may be the name from before a rename; its last part is the same. */
function readings(name: string, places: ReadonlySet<string>): readonly string[] {
  const place = placeOf(name);
  return place === null || places.has(place) ? [name] : [name, name.slice(place.length + 1)];
}

/** `deployment/slug` of a name that is a reference, else null. */
export function placeOf(name: string): string | null {
  return REFERENCE.test(name) ? name.slice(0, name.lastIndexOf('/')) : null;
}

/** Whether a listed client may be meant by one of the files. */
export function wantedBy(files: readonly KeyFile[], places: ReadonlySet<string>): (one: Candidate) => boolean {
  const names = new Set(files.flatMap((file) => file.names.flatMap((name) => readings(name, places))));
  return ({ ref, clientId }) => {
    const { deployment, app, id } = splitReference(ref);
    return [ref, clientId, id, `${deployment}/${app}/${clientId}`].some((name) => names.has(name));
  };
}
