/** What a rotation asks for that the server of its app was seen not to do, or was never seen to do. */
import { splitReference } from './client.ts';
import type { Format } from './document.ts';
import { contradictions, formOf, seenAlg } from './findings.ts';
import type { Algorithm } from './keys.ts';
import type { ClientPolicy } from './policy.ts';
import type { ClientRecord } from './record.ts';
import type { Rotation } from './rotation.ts';

type Asked = Pick<Rotation, 'alg' | 'strategy' | 'format' | 'tryAlg'>;

/**
 * Why the server would not let the new key sign in, as far as anybody has seen; null when nothing speaks against it.
 * @param present what the client has
 */
export function unfit(
  { ref }: ClientRecord,
  rotation: Asked,
  present: { readonly alg: string; readonly format: Format },
  policy: ClientPolicy,
): string | null {
  const { alg, strategy, format } = rotation;
  const { deployment, app: slug } = splitReference(ref);
  const app = `${deployment}/${slug}`;
  // A client that keeps its format signs in with it already, whatever the probe saw: it may have met a web server that was away.
  const isKept = format !== 'jwks' && format === present.format;
  const publishing = isKept ? null : { format, embedPem: policy.embedPem };
  const demand = { alg, overlap: strategy === 'overlap', publishing };
  const [first] = contradictions(policy.facts, demand, app);
  if (first !== undefined) return first;
  // A client that keeps its alg changes nothing that could be refused.
  if (alg === present.alg || rotation.tryAlg === true || seenAlg(policy.facts, alg) === 'accepted') return null;
  return (
    `nobody was seen to sign in with ${alg} at ${app}, and a server may take such a key and refuse every sign-in. ` +
    `Run \`rekeyd probe ${app}\`, or try it on this client alone: \`rekeyd rotate ${ref} --try-alg\`.`
  );
}

/** After a compromise there is no time to try anything: the alg that the client has, unless the other one was seen to work. */
export function safeAlg(wanted: Algorithm, kept: Algorithm | null, { facts }: Pick<ClientPolicy, 'facts'>): Algorithm {
  return kept === null || seenAlg(facts, wanted) === 'accepted' ? wanted : kept;
}

/** The same for the format: false when keys were seen to be refused in it. */
export function isSafeFormat(format: Format, { facts, embedPem }: Pick<ClientPolicy, 'facts' | 'embedPem'>): boolean {
  return facts.findings?.forms[formOf({ format, embedPem })].result !== 'refused';
}
