import { RekeydError } from '../errors.ts';

/** `deployment/app-slug/oauth_client_id`, parsed. Ids are 64-bit integers sent as strings: they stay strings. */
export interface ClientReference {
  readonly deployment: string;
  readonly app: string;
  readonly id: string;
}

/** A client reference as one string, checked by {@link parseReference}. */
export type ClientRef = string & { readonly brand: 'ClientRef' };

/** One path segment: what Wacht's ids and slugs look like, and nothing that could leave a folder or a URL path. */
const SEGMENT = '[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,127}';

const ONE_SEGMENT = new RegExp(`^${SEGMENT}$`);

/** `deployment/app-slug` */
export const APP_PATH = new RegExp(`^${SEGMENT}/${SEGMENT}$`);

/** `deployment/app-slug/oauth_client_id` */
export const REFERENCE = new RegExp(`^${SEGMENT}/${SEGMENT}/${SEGMENT}$`);

export function isSegment(text: string): boolean {
  return ONE_SEGMENT.test(text);
}

/** @throws RekeydError `client_reference_invalid` */
export function parseReference(text: string): ClientRef {
  if (!REFERENCE.test(text)) {
    throw new RekeydError(
      'client_reference_invalid',
      `${shown(text)} is not a client reference. Write deployment/app-slug/oauth_client_id, each of letters, digits, "_", "-", "." or "~".`,
    );
  }
  return text as ClientRef; // checked just above: the one place that makes the brand
}

/** A text with braces or line ends may be a key that was given by mistake, so the message does not repeat it. */
function shown(text: string): string {
  return /[{}\n]|-----/.test(text) ? 'What was given' : JSON.stringify(text.slice(0, 200));
}

export function makeReference(deployment: string, app: string, id: string): ClientRef {
  return parseReference(`${deployment}/${app}/${id}`);
}

export function splitReference(ref: ClientRef): ClientReference {
  const [deployment = '', app = '', id = ''] = ref.split('/');
  return { deployment, app, id };
}

/**
 * What to say of a reference that ends in an OAuth `client_id`, and not in the id that the API gives its row; null when no client has that one.
 * @param clients references and their OAuth `client_id`s
 */
export function misnamed(ref: ClientRef, clients: Iterable<readonly [ClientRef, string]>): string | null {
  const { deployment, app, id } = splitReference(ref);
  for (const [other, clientId] of clients) {
    if (clientId === id && other.startsWith(`${deployment}/${app}/`))
      return `${id} in ${ref} is its OAuth client_id. Write ${other}.`;
  }
  return null;
}

/** What to say of a client that no policy of the config is for. */
export function unconfigured(ref: ClientRef): string {
  return `The config has no policy for ${ref}. Add its app (and the client, unless clients: all).`;
}

/** What to say of a client that its app does not list. */
export function notListed(ref: ClientRef): string {
  return `The API lists no client ${ref}. Check the reference, and that the client was not deleted.`;
}
