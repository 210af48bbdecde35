/** A real Prometheus, where there is one, and its promtool. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import { freePort } from './ports.ts';
import { until } from './until.ts';

/** Null where both are on PATH, else why tests are left out. */
export const noPrometheus: string | null = ['prometheus', 'promtool'].every(
  (program) => spawnSync(program, ['--version']).status === 0,
)
  ? null
  : 'prometheus and promtool are not on the PATH (Debian: apt-get install prometheus)';

export interface Prometheus {
  /** The result of an instant query, each with its labels and its value. @throws when Prometheus refuses the query */
  query(expression: string): Promise<readonly Sample[]>;
  /** Names of the alerts that fire. */
  firing(): Promise<ReadonlySet<string>>;
}

export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [time: number, value: string];
}

export interface Scraped {
  readonly url: string;
  /** Value of a token. */
  readonly token: string;
}

/** Scrapes and evaluates each second. Stops when the test ends. @param rules files of rules */
export async function startPrometheus(
  dir: string,
  targets: readonly Scraped[],
  rules: readonly string[],
): Promise<Prometheus> {
  const port = await freePort();
  await mkdir(dir, { recursive: true });
  const file = join(dir, 'prometheus.yml');
  const config = {
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: rules,
    scrape_configs: targets.map(({ url, token }, index) => ({
      job_name: index === 0 ? 'rekeyd' : `rekeyd-${index}`,
      authorization: { credentials: token },
      static_configs: [{ targets: [new URL(url).host] }],
    })),
  };
  await writeFile(file, stringify(config));
  const args = [`--config.file=${file}`, `--storage.tsdb.path=${join(dir, 'tsdb')}`];
  const said: string[] = [];
  const child = spawn('prometheus', [...args, `--web.listen-address=127.0.0.1:${port}`, '--log.level=warn']);
  child.stderr.on('data', (text) => said.push(String(text)));
  onTestFinished(async () => {
    if (child.exitCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  const origin = `http://127.0.0.1:${port}`;
  await until('Prometheus is ready', async () => {
    if (child.exitCode !== null) throw new Error(`Prometheus ended: ${said.join('')}`);
    return (await fetch(`${origin}/-/ready`).catch(() => null))?.ok === true;
  });

  async function ask(path: string) {
    const answer = await fetch(`${origin}${path}`);
    // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of a document
    const { status, data, error }: any = await answer.json();
    if (status !== 'success') throw new Error(`${path}: ${error}`);
    return data;
  }

  return {
    query: async (expression) => (await ask(`/api/v1/query?query=${encodeURIComponent(expression)}`)).result,
    async firing() {
      const { alerts } = await ask('/api/v1/alerts');
      const firing = alerts.filter(({ state }: { state: string }) => state === 'firing');
      return new Set(firing.map(({ labels }: { labels: { alertname: string } }) => labels.alertname));
    },
  };
}
