/**
 * The files of `deploy/`, which nothing here can run: they are YAML once the chart's values are filled in, name settings that exist with
 * values that the hub takes, ports and secrets that fit together, and probes that a hub answers.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { runMooring, startHub } from '../drivers/hub.ts';

const folder = path.join(import.meta.dirname, '..', '..', 'deploy');
const chart = path.join(folder, 'helm', 'mooring');
const read = (file: string): string => readFileSync(file, 'utf8');

interface Variable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly secretKeyRef?: { readonly name: string; readonly key: string } };
}
type Values = Readonly<Record<string, unknown>>;
// biome-ignore lint/suspicious/noExplicitAny: documents of Kubernetes, whose types are nobody's here.
type Document = any;

/** What stands for what is not text of the file: values of secrets. */
const SECRETS: Readonly<Record<string, string>> = {
  MOORING_POSTGRES_URL: 'postgres://mooring:secret@postgresql:5432/mooring',
  MOORING_KEY_ENCRYPTION_KEY: Buffer.alloc(32, 1).toString('base64'),
  MOORING_OWNER_KEY: Buffer.alloc(32, 2).toString('base64'),
  MOORING_SERVICE_KEY: Buffer.alloc(32, 3).toString('base64'),
  MOORING_DEVICE_KEY: Buffer.alloc(32, 4).toString('base64'),
};

/** The chart keeps to these forms of a template, so that it can be filled in without Helm. */
function render(text: string, values: Values): Document[] {
  const filled = text.replaceAll(/\{\{ \.(Release\.Name|Values(?:\.\w+)+)( \| quote)? \}\}/g, (_, name, quoted) => {
    const keys = String(name).split('.').slice(1);
    const value = name === 'Release.Name' ? 'hub' : keys.reduce((at: Document, key) => at?.[key], values);
    assert.ok(['string', 'number', 'boolean'].includes(typeof value), `values.yaml has no ${name}`);
    return quoted === undefined ? String(value) : JSON.stringify(String(value));
  });
  assert.doesNotMatch(filled, /\{\{/, 'a template of another form');
  const documents = parseAllDocuments(filled);
  for (const { errors } of documents) assert.deepEqual(errors, []);
  return documents.map((document) => document.toJS());
}

function chartDocuments(): Document[] {
  const values = parse(read(path.join(chart, 'values.yaml')));
  const templates = path.join(chart, 'templates');
  return readdirSync(templates).flatMap((file) => render(read(path.join(templates, file)), values));
}

/** The hub's own reading of the variables: it refuses a setting that it does not know, and values that it does not take. */
async function assertTaken(variables: Readonly<Record<string, string>>): Promise<void> {
  const { code, stdout, stderr } = await runMooring(['config', 'print'], variables);
  assert.equal(code, 0, stderr);
  const known = new Set(read(path.join(folder, '..', 'docs', 'config.md')).match(/MOORING_[A-Z0-9_]+/g));
  for (const name of Object.keys(variables)) assert.ok(known.has(name), `${name} is no setting`);
  assert.match(stdout, /storage.*cluster/);
}

test('the chart: settings, ports, secrets and names fit together', async () => {
  const documents = chartDocuments();
  const of = (kind: string): Document[] => documents.filter((each) => each.kind === kind);
  const [set] = of('StatefulSet');
  const { spec } = set.spec.template;
  const [container] = spec.containers;
  const variables: readonly Variable[] = container.env;
  const given = Object.fromEntries(
    variables.map(({ name, value, valueFrom }) => {
      const isSecret = valueFrom?.secretKeyRef !== undefined;
      return [name, value?.replace('$(MOORING_NODE_NAME)', 'hub-0') ?? (isSecret ? SECRETS[name] : 'hub-0')];
    }),
  );
  // Optional ones, of a login at the brokers.
  delete given.MOORING_KAFKA_PASSWORD;
  delete given.MOORING_KAFKA_USER;
  await assertTaken(given);
  for (const { name, value } of variables) {
    if (/KEY|PASSWORD|URL/.test(name)) assert.equal(value, undefined, `${name} is a secret`);
  }
  const ports = new Map<string, number>(container.ports.map((port: Document) => [port.name, port.containerPort]));
  for (const [name, setting] of Object.entries({ mqtts: 'MQTTS', amqps: 'AMQPS', https: 'HTTPS', nodes: 'NODE' })) {
    assert.equal(given[`MOORING_${setting}_PORT`], String(ports.get(name)));
  }
  const labels = set.spec.template.metadata.labels;
  assert.deepEqual(set.spec.selector.matchLabels, labels);
  for (const service of of('Service')) {
    assert.deepEqual(service.spec.selector, labels);
    for (const { targetPort } of service.spec.ports) assert.ok(ports.has(targetPort), targetPort);
  }
  assert.ok(of('Service').some(({ metadata }) => metadata.name === set.spec.serviceName));
  assert.equal(given.MOORING_NODE_ADDRESS, `hub-0.${set.spec.serviceName}`);
  const [budget] = of('PodDisruptionBudget');
  assert.deepEqual(budget.spec.selector.matchLabels, labels);
  assert.ok(budget.spec.minAvailable < set.spec.replicas, 'a node may be taken away');
  const pause = Number(container.lifecycle.preStop.exec.command[1]);
  assert.ok(spec.terminationGracePeriodSeconds > Number(given.MOORING_DRAIN_SECONDS) + pause);
  // The greatest value that `drainSeconds` takes.
  assert.ok(spec.terminationGracePeriodSeconds > 300 + pause);
  const [volume] = container.volumeMounts;
  assert.ok(container.args.at(-1).startsWith(`${volume.mountPath}/`));
});

test('the probes of the chart are answered by a hub whose admin port is reached by its address', async () => {
  const [set] = chartDocuments().filter(({ kind }) => kind === 'StatefulSet');
  const [container] = set.spec.template.spec.containers;
  const bound = container.env.find(({ name }: Variable) => name === 'MOORING_ADMIN_BIND_ADDRESS').value;
  await using hub = await startHub({ args: ['--admin-bind-address', bound] });
  for (const kind of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
    const { path: asked, httpHeaders } = container[kind].httpGet;
    const headers = Object.fromEntries(httpHeaders.map(({ name, value }: Document) => [name, value]));
    const status = await new Promise((resolve, reject) => {
      const request = http.get({ host: '127.0.0.1', port: hub.endpoints.ports.admin ?? 0, path: asked, headers });
      request.on('response', (response) => resolve(response.resume().statusCode)).on('error', reject);
    });
    assert.equal(status, 200, kind);
  }
});

test('the compose file: each node has its name and its folder, settings that the hub takes, and is known to the balancer', async () => {
  const compose = parse(read(path.join(folder, 'compose.yaml')), { merge: true });
  const nodes = Object.entries(compose.services as Record<string, Document>).filter(([name]) => /^node-\d$/.test(name));
  assert.equal(nodes.length, 3);
  const haproxy = read(path.join(folder, 'haproxy.cfg'));
  for (const [name, { environment, volumes, stop_grace_period: grace }] of nodes) {
    const given = Object.entries(environment as Record<string, string>).map(([variable, value]) => {
      const standIn = SECRETS[variable] ?? 'localhost';
      return [variable, /\$\{/.test(value) ? standIn : value];
    });
    await assertTaken(Object.fromEntries(given));
    assert.deepEqual([environment.MOORING_NODE_NAME, environment.MOORING_NODE_ADDRESS], [name, name]);
    assert.deepEqual(volumes, [`${name}:/var/lib/mooring`]);
    assert.ok(name in compose.volumes);
    assert.ok(Number.parseInt(grace, 10) > Number(environment.MOORING_DRAIN_SECONDS));
    for (const setting of ['MQTTS', 'AMQPS', 'HTTPS']) {
      const port = environment[`MOORING_${setting}_PORT`];
      assert.ok(haproxy.includes(`server ${name} ${name}:${port}\n`), `${name} ${port}`);
      assert.ok(compose.services.balancer.ports.includes(`${port}:${port}`));
    }
  }
});

test('the image is made of files that are there, by the Node that is pinned', () => {
  const text = read(path.join(folder, 'Dockerfile'));
  const root = path.join(folder, '..');
  const manifest = JSON.parse(read(path.join(root, 'package.json')));
  for (const [, version] of text.matchAll(/^FROM node:([\d.]+)-/gm))
    assert.equal(version, manifest.devDependencies.node);
  const copied = [...text.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, files]) => files.split(' '));
  assert.ok(copied.length >= 5);
  const there = new Set(readdirSync(root));
  assert.deepEqual(
    copied.filter((file) => !there.has(file)),
    [],
  );
  for (const [, script] of text.matchAll(/npm run (\w+)/g)) assert.ok(script in manifest.scripts, script);
});
