/** The chart: Helm accepts and renders it, kubeconform finds what Kubernetes would refuse, and rekeyd accepts the config that the pods read. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { certificateFor } from '../support/certificates.ts';
import { conform, noHelm, type Resource, resourcesIn, run } from '../support/helm.ts';

const ROOT = join(import.meta.dirname, '../..');
const CHART = join(ROOT, 'deploy/helm/rekeyd');
const VALUES = {
  smallest: join(CHART, 'ci/smallest-values.yaml'),
  everything: join(CHART, 'ci/everything-values.yaml'),
};
type Example = keyof typeof VALUES;
const EXAMPLES: readonly Example[] = ['smallest', 'everything'];

/** The oldest that the chart names, and the newest that there are schemas of. */
const [OLDEST, NEWEST] = ['1.25.0', '1.37.0'];

beforeEach(({ skip }) => {
  if (noHelm === null) return;
  // A full run leaves nothing out.
  if (process.env.REKEYD_TESTS === 'all') throw new Error(noHelm);
  skip(noHelm);
});

function template(example: Example, more: Record<string, unknown> = {}, version = NEWEST) {
  const file = join(temporary(), 'more.yaml');
  writeFileSync(file, stringify(more));
  const args = ['template', 'rekeyd', CHART, '--namespace', 'keys', '--kube-version', version];
  return run('helm', [...args, '--values', VALUES[example], '--values', file]);
}

function render(example: Example, more: Record<string, unknown> = {}): readonly Resource[] {
  const { status, stdout, said } = template(example, more);
  expect(status, said).toBe(0);
  return resourcesIn(stdout);
}

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'rekeyd-chart-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

const kindsOf = (resources: readonly Resource[]) => [...new Set(resources.map(({ kind }) => kind))].toSorted();
const workersOf = (resources: readonly Resource[]) =>
  resources.find(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet');

describe.each(EXAMPLES)('with the %s values the chart', (example) => {
  test('is accepted by helm lint', () => {
    const { status, said } = run('helm', ['lint', '--strict', CHART, '--values', VALUES[example]]);
    expect(status, said).toBe(0);
  });

  test.each([OLDEST, NEWEST])('renders what Kubernetes %s accepts', (version) => {
    const { stdout } = template(example, { serviceMonitor: { enabled: false } }, version);
    const { status, said } = conform(stdout, temporary(), version);
    expect(status, said).toBe(0);
    expect(said).toMatch(/Summary: (?:[6-9]|\d\d) resources found .* Invalid: 0, Errors: 0, Skipped: 0/);
  });

  test('gives the pods a config that rekeyd accepts', () => {
    const folder = temporary();
    const { data } = render(example).find(({ kind }) => kind === 'ConfigMap');
    const secrets = join(folder, 'secrets');
    const { key, cert } = certificateFor('DNS:rekeyd.keys.svc');
    const contents: Readonly<Record<string, string>> = {
      ...{ kek: Buffer.alloc(32, 7).toString('base64url'), redis_url: 'rediss://redis.example.com:6379' },
      ...{ 'tls.key': key, 'tls.crt': cert, 'ca.crt': cert },
    };
    for (const [, path = ''] of data['rekeyd.yaml'].matchAll(/file:\/run\/secrets\/(\S+)/g)) {
      const file = join(secrets, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, contents[path.split('/')[1] ?? ''] ?? 'a-secret');
    }
    const file = join(folder, 'rekeyd.yaml');
    writeFileSync(file, data['rekeyd.yaml'].replaceAll('/run/secrets/', `${secrets}/`));
    const cli = join(ROOT, 'src/cli.ts');
    const { status, said } = run(process.execPath, [cli, '--config', file, 'config', 'check']);
    expect(status, said).toBe(0);
  });

  test('gives the pods no more rights than they need', () => {
    const { spec } = workersOf(render(example)).spec.template;
    expect(spec.securityContext).toMatchObject({
      ...{ runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
    });
    expect(spec.hostNetwork ?? spec.hostPID ?? spec.hostIPC).toBeUndefined();
    for (const { securityContext, volumeMounts } of spec.containers) {
      expect(securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      const open = volumeMounts.filter(({ readOnly }: { readOnly?: boolean }) => readOnly !== true);
      expect(open.map(({ mountPath }: { mountPath: string }) => mountPath)).not.toContainEqual(
        expect.stringMatching(/^\/(?:etc|run)/),
      );
    }
  });
});

test('kubeconform finds a member that Kubernetes does not know, and a value of the wrong type', () => {
  const { stdout } = template('smallest');
  const broken = stdout.replace('readOnlyRootFilesystem:', 'readOnlyRoot:').replace('maxUnavailable: 1', 'selector: 1');
  const { status, said } = conform(broken, temporary(), NEWEST);
  expect(status).toBe(1);
  expect(said).toMatch(/Deployment rekeyd is invalid.*readOnlyRoot/);
  expect(said).toMatch(/PodDisruptionBudget rekeyd/);
});

test('what is not asked for is not there', () => {
  const resources = render('smallest');
  expect(kindsOf(resources)).toEqual(
    ['ConfigMap', 'Deployment', 'NetworkPolicy', 'PodDisruptionBudget', 'Service', 'ServiceAccount'].toSorted(),
  );
  expect(workersOf(resources).spec.template.spec.automountServiceAccountToken).toBe(false);
  const { spec } = resources.find(({ kind }) => kind === 'NetworkPolicy');
  expect(spec.policyTypes).toEqual(['Ingress', 'Egress']);
  expect(spec.ingress).toEqual([]);
});

test('the rights on Secrets come with the sink that needs them, in its namespaces alone', () => {
  const sink = { enabled: true, namespaces: ['apps'] };
  const resources = render('smallest', { secretSink: sink });
  const [role, ...others] = resources.filter(({ kind }) => kind === 'Role');
  expect(others).toEqual([]);
  expect(role.metadata.namespace).toBe('apps');
  expect(role.rules).toEqual([{ apiGroups: [''], resources: ['secrets'], verbs: ['get', 'create', 'patch'] }]);
  const { subjects } = resources.find(({ kind }) => kind === 'RoleBinding');
  expect(subjects).toEqual([{ kind: 'ServiceAccount', name: 'rekeyd', namespace: 'keys' }]);
  expect(kindsOf(resources)).not.toContain('ClusterRole');
  expect(workersOf(resources).spec.template.spec.automountServiceAccountToken).toBe(true);
  const restarting = render('smallest', { secretSink: { ...sink, restart: ['shop'] } });
  expect(restarting.find(({ kind }) => kind === 'Role').rules[1]).toEqual({
    ...{ apiGroups: ['apps'], resources: ['deployments'], resourceNames: ['shop'], verbs: ['patch'] },
  });
});

test('workers that keep what they remember have a volume each', () => {
  const { kind, spec } = workersOf(render('smallest', { data: { persistent: true } }));
  expect(kind).toBe('StatefulSet');
  expect(spec.volumeClaimTemplates[0].metadata.name).toBe('data');
});

/** Of a ServiceMonitor, what the chart uses; read off the CRD that the Prometheus Operator publishes, whose schema no package here carries. */
const ServiceMonitor = z.strictObject({
  apiVersion: z.literal('monitoring.coreos.com/v1'),
  kind: z.literal('ServiceMonitor'),
  metadata: z.strictObject({ name: z.string(), labels: z.record(z.string(), z.string()) }),
  spec: z.strictObject({
    selector: z.strictObject({ matchLabels: z.record(z.string(), z.string()) }),
    endpoints: z.array(
      z.strictObject({
        port: z.string(),
        path: z.string(),
        scheme: z.enum(['http', 'https']),
        interval: z.string().regex(/^\d+(?:ms|s|m)$/),
        authorization: z.strictObject({ credentials: z.strictObject({ name: z.string(), key: z.string() }) }),
        relabelings: z.array(z.strictObject({ targetLabel: z.string(), replacement: z.string() })),
        tlsConfig: z.looseObject({}).optional(),
      }),
    ),
  }),
});

/** Each with the port of the probes and the scheme that is spoken there. */
test.each([
  ['the API alone', {}, 'http', 'HTTP'],
  [
    'the API over TLS',
    { tls: { cert: 'file:/run/secrets/rekeyd/c', key: 'file:/run/secrets/rekeyd/k' } },
    'http',
    'HTTPS',
  ],
  ['a listener for what is public', { public: '0.0.0.0:8081', tls: {} }, 'public', 'HTTP'],
])('probes, Service and ServiceMonitor meet at %s', (_, http, port, scheme) => {
  const serviceMonitor = { enabled: true, tokenSecret: { name: 'metrics' } };
  const resources = render('smallest', { config: { http }, serviceMonitor });
  const [container] = workersOf(resources).spec.template.spec.containers;
  for (const probe of [container.startupProbe, container.livenessProbe, container.readinessProbe]) {
    expect(probe.httpGet).toMatchObject({ port, scheme });
  }
  expect(container.readinessProbe.httpGet.path).toBe('/readyz');
  const { spec } = resources.find(({ kind }) => kind === 'Service');
  const names = spec.ports.map(({ name }: { name: string }) => name);
  expect(names).toEqual(container.ports.map(({ name }: { name: string }) => name));
  expect(names).toContain(port);
  const monitor = ServiceMonitor.parse(resources.find(({ kind }) => kind === 'ServiceMonitor'));
  expect(monitor.spec.endpoints[0]).toMatchObject({ port, scheme: scheme.toLowerCase() });
});

test('the job has the name that the alerts look for, also in a release of another name', () => {
  const [, job] = /up\{job="(\w+)"\}/.exec(readFileSync(join(ROOT, 'deploy/prometheus/alerts.yml'), 'utf8')) ?? [];
  // Its Service, after which Prometheus would call the job, is rekeyd-prod.
  const monitor = ServiceMonitor.parse(render('everything').find(({ kind }) => kind === 'ServiceMonitor'));
  expect(monitor.metadata.name).not.toBe(job);
  expect(monitor.spec.endpoints[0]?.relabelings).toEqual([{ targetLabel: 'job', replacement: job }]);
});

test.each<[string, Record<string, unknown>, RegExp]>([
  ['an unknown setting', { replica: 3 }, /additional properties 'replica' not allowed/],
  ['a value of the wrong type', { replicas: 'two' }, /got string, want integer/],
  ['a config without sinks', { config: { sinks: null } }, /sinks/],
  ['a listener that no probe reaches', { config: { http: { listen: '127.0.0.1:8080' } } }, /http\/listen/],
  [
    'a secret that is not mounted',
    { config: { encryption: { keks: [{ id: 'k', key: 'file:/run/secrets/other/kek' }] } } },
    /secrets has no other\. Write secrets: \{ other:/,
  ],
  [
    'keys that would be gone with the pod',
    { volumes: { keys: { mountPath: '/other' } } },
    /\/keys\/clients, which no volume/,
  ],
  [
    'files for a recipient that would be gone with the pod',
    { config: { sinks: [{ kind: 'encrypted_file', path: '/handover', recipient: 'file:/keys/public.jwk.json' }] } },
    /\/handover, which no volume/,
  ],
  [
    'reports of signers that would be gone with the pod',
    { config: { sinks: [{ kind: 'directory', path: '/keys/clients', reports: '/reports' }] } },
    /\/reports, which no volume/,
  ],
  [
    'an audit log that would be gone with the pod',
    { config: { audit: { export: '/elsewhere' } } },
    /audit\.export writes to \/elsewhere, which no volume/,
  ],
  ['a volume over what the image has', { volumes: { more: { mountPath: '/app/x', size: '1Gi' } } }, /mountPath/],
  ['a volume from nowhere', { volumes: { more: { mountPath: '/more' } } }, /volumes\.more has neither/],
  ['metrics without a token', { serviceMonitor: { enabled: true } }, /tokenSecret\.name is empty/],
])('the chart refuses %s', (_, more, why) => {
  const { status, said } = template('smallest', more);
  expect(status).not.toBe(0);
  expect(said).toMatch(why);
});

test('the chart, its app and the package have one version', () => {
  const chart = parse(run('helm', ['show', 'chart', CHART]).stdout);
  const { version } = JSON.parse(run('cat', [join(ROOT, 'package.json')]).stdout);
  expect([chart.version, chart.appVersion]).toEqual([version, version]);
});
