/**
 * The bill of materials of what is deployed. `npm sbom --omit dev` (npm 11) leaves out every package that some development package needs too, and
 * names the project after its folder; so npm lists everything, and this takes out what is there for development only.
 */

/** The part of a CycloneDX 1.5 document that changes here; the rest goes through. */
interface Bom {
  readonly metadata: { readonly component: { readonly 'bom-ref': string; readonly name: string } };
  readonly components: readonly {
    readonly 'bom-ref': string;
    readonly name: string;
    readonly version: string;
    readonly properties?: readonly { readonly name: string; readonly value: string }[];
  }[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

const DEVELOPMENT = 'cdx:npm:package:development';

export function deployedOnly(bom: Bom, project: string): Bom {
  const deployed = deployedRefs(bom);
  const components = bom.components.filter((component) => deployed.has(component['bom-ref']));
  const kept = new Set(components.map((component) => component['bom-ref']));
  const all = new Set(bom.components.map((component) => component['bom-ref']));
  const isGone = (ref: string) => all.has(ref) && !kept.has(ref);
  return {
    ...bom,
    metadata: { ...bom.metadata, component: { ...bom.metadata.component, name: project } },
    components,
    dependencies: bom.dependencies
      .filter(({ ref }) => !isGone(ref))
      .map((one) => ({ ...one, dependsOn: one.dependsOn.filter((ref) => !isGone(ref)) })),
  };
}

/** npm lists a package once, as the first place where it is installed has it: one that is there for development too is found by what needs it. */
function deployedRefs({ components, dependencies }: Bom): ReadonlySet<string> {
  const isForDevelopment = ({ properties }: Bom['components'][number]) =>
    properties?.some(({ name, value }) => name === DEVELOPMENT && value === 'true') === true;
  const deployed = new Set(components.filter((one) => !isForDevelopment(one)).map((one) => one['bom-ref']));
  const needs = new Map(dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]));
  for (const ref of deployed) for (const needed of needs.get(ref) ?? []) deployed.add(needed);
  return deployed;
}

/** Of `@rekeyd/signer`, which needs some of what rekeyd needs itself, and nothing that these need. */
export function signerOnly(
  bom: Bom,
  signer: { readonly name: string; readonly version: string; readonly dependencies: Readonly<Record<string, string>> },
) {
  const { component } = bom.metadata;
  const direct = bom.dependencies.find((one) => one.ref === component['bom-ref'])?.dependsOn ?? [];
  const components = bom.components.filter((one) => direct.includes(one['bom-ref']) && one.name in signer.dependencies);
  const needed = components.map((one) => one['bom-ref']);
  const dependencies = bom.dependencies.filter(({ ref }) => needed.includes(ref));
  if (needed.length === 0 || dependencies.some(({ dependsOn }) => dependsOn.length > 0)) {
    throw new Error('@rekeyd/signer needs packages that need others: list them, too');
  }
  const { name, version } = signer;
  const ref = `${name}@${version}`;
  const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
  return {
    ...bom,
    metadata: { ...bom.metadata, component: { ...component, 'bom-ref': ref, name, version, purl } },
    components,
    dependencies: [{ ref, dependsOn: needed }, ...dependencies],
  };
}
