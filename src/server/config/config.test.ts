import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { type SettingName, settingFacts, settingNames } from './config.ts';
import { runConfig } from './config-command.ts';
import { loadSettings, SettingsError } from './config-sources.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mooring-config-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(content: unknown): string {
  const name = path.join(folder, `${Math.random()}.json`);
  writeFileSync(name, typeof content === 'string' ? content : JSON.stringify(content));
  return name;
}

function problems(args: readonly string[], env: Record<string, string> = {}): readonly string[] {
  try {
    loadSettings(args, env);
  } catch (error) {
    assert.ok(error instanceof SettingsError, String(error));
    return error.problems;
  }
  assert.fail('the settings were taken');
}

test('without anything every setting has its documented default', () => {
  const { settings, sources } = loadSettings([], {});
  assert.equal(settings.mqttsPort, 8883);
  assert.equal(settings.amqpsPort, 5671);
  assert.equal(settings.httpsPort, 443);
  assert.equal(settings.adminPort, 8080);
  assert.equal(settings.amqpPort, 5672);
  assert.equal(settings.mqttPort, 'off');
  assert.equal(settings.dataDir, './mooring-data');
  assert.deepEqual(new Set(Object.values(sources)), new Set(['default']));
});

test('flag wins over variable, variable over file, file over default', () => {
  const config = file({ mqttsPort: 1, amqpsPort: 1, httpsPort: 1 });
  const { settings, sources } = loadSettings(['--mqtts-port', '3', '--config', config], {
    MOORING_MQTTS_PORT: '2',
    MOORING_AMQPS_PORT: '2',
  });
  assert.deepEqual([settings.mqttsPort, settings.amqpsPort, settings.httpsPort, settings.adminPort], [3, 2, 1, 8080]);
  assert.deepEqual([sources.mqttsPort, sources.amqpsPort, sources.httpsPort], ['flag', 'variable', 'file']);
});

test('the file may be named by a variable, and holds JSON values or the text of flags', () => {
  const config = file({
    hostName: ['a.example', 'b.example'],
    segmentBytes: '1MiB',
    mqttPort: 0,
    retentionBytes: 'off',
  });
  const { settings } = loadSettings([], { MOORING_CONFIG: config });
  assert.deepEqual(settings.hostName, ['a.example', 'b.example']);
  assert.equal(settings.segmentBytes, 1024 * 1024);
  assert.equal(settings.mqttPort, 0);
});

test('lists come from repeated flags and from commas', () => {
  const { settings } = loadSettings(['--host-name', 'a.example', '--host-name=b.example,c.example'], {});
  assert.deepEqual(settings.hostName, ['a.example', 'b.example', 'c.example']);
});

test('unknown names are refused with the nearest known one, all at once', () => {
  const found = problems(['--mqts-port', '1', '--config', file({ htpsPort: 1 })], { MOORING_DATADIR: '/x' });
  assert.equal(found.length, 3);
  assert.match(found[0], /^--mqts-port is no setting. The nearest is --mqtts?-port\.$/);
  assert.match(found[1], /MOORING_DATADIR .* MOORING_DATA_DIR\.$/);
  assert.match(found[2], /"htpsPort" .* httpsPort\.$/);
});

test('variables that Kubernetes sets beside a service named mooring are not ours', () => {
  loadSettings([], {
    MOORING_SERVICE_HOST: '10.0.0.1',
    MOORING_PORT_8883_TCP_ADDR: '10.0.0.1',
    MOORING_SERVICE_PORT: '1',
  });
});

test('values of the wrong form are refused with the right one', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['--mqtts-port', '65536'],
    ['--mqtts-port', ''],
    ['--mqtts-port', '1.5'],
    ['--mqtts-port', '-1'],
    ['--partitions', '33'],
    ['--partitions', 'off'],
    ['--retention-days', '0'],
    ['--segment-bytes', '1KiB'],
    ['--hub-name', 'a/b'],
    ['--hub-name', 'devices'],
    ['--hub-name', 'Messages'],
    ['--hub-name', ''],
    ['--host-name', 'a b'],
    ['--bind-address', 'localhost'],
    ['--log-level', 'loud'],
    ['--show-connection-strings', 'maybe'],
    ['--consumer-groups', 'a/b'],
  ];
  for (const [flag, value] of cases) {
    const found = problems([`${flag}=${value}`]);
    assert.equal(found.length, 1, `${flag}=${value}`);
    assert.match(found[0], / It takes /, `${flag}=${value}`);
  }
  assert.match(problems(['--mqtts-port'])[0], /needs a value/);
  assert.match(problems(['--mqtts-port', '1', '--mqtts-port', '2'])[0], /given twice/);
  assert.match(problems(['--tls-cert-file', 'x'])[0], /both or none/);
});

/** Of those that hold more than the secret. */
const secretForms: Partial<Record<SettingName, (secret: string) => string>> = {
  otlpHeaders: (secret) => `authorization=Bearer%20${secret}`,
  postgresUrl: (secret) => `postgres://mooring:${secret}@db.example/mooring`,
  adapters: (secret) => JSON.stringify([{ adapter: 'line', settings: { password: secret } }]),
  filesAzureConnectionString: (secret) => `AccountName=a;AccountKey=${secret}`,
};

test('secrets have no flag, and no message or print repeats them', () => {
  const secret = Buffer.alloc(32, 7).toString('base64');
  for (const name of settingNames.filter((candidate) => settingFacts(candidate).secret)) {
    const facts = settingFacts(name);
    const flag = `--${facts.variable.slice('MOORING_'.length).toLowerCase().replaceAll('_', '-')}`;
    const given = secretForms[name]?.(secret) ?? secret;
    const [message] = problems([flag, given]);
    assert.match(message, new RegExp(`Use ${facts.variable}`));
    assert.ok(!message.includes(secret));
    assert.ok(!problems([], { [facts.variable]: `${given},!\n` })[0].includes(secret));
    for (const format of [[], ['--json']]) {
      let output = '';
      const write = (text: string): void => {
        output += text;
      };
      assert.equal(runConfig(['print', ...format], { [facts.variable]: given }, { out: write, err: write }), 0);
      assert.ok(!output.includes(secret));
      assert.match(output, /not shown/);
    }
  }
  const [message] = problems(['--config', file(`{"ownerKey": "${secret}" oops}`)]);
  assert.match(message, /it is not JSON/);
  assert.ok(!message.includes(secret));
});

test('the collector of traces: standard variables are read where ours are not given, and what cannot work is refused', () => {
  const endpoint = (env: Record<string, string>) => loadSettings([], env).settings.otlpEndpoint;
  const standard = 'OTEL_EXPORTER_OTLP_ENDPOINT';
  assert.equal(endpoint({ [standard]: 'http://a:4318' }), 'http://a:4318');
  assert.equal(endpoint({ [standard]: 'http://a:4318', MOORING_OTLP_ENDPOINT: 'http://b:4318/x' }), 'http://b:4318/x');
  assert.equal(endpoint({ [standard]: '' }), undefined);
  for (const wrong of ['a:4318', 'grpc://a:4317', 'http://user:secret@a', 'http://a/?token=secret', 'http://']) {
    const [message] = problems([], { [standard]: wrong });
    assert.ok(!message.includes('secret'));
    assert.match(message, /^MOORING_OTLP_ENDPOINT \(or OTEL_EXPORTER_OTLP_ENDPOINT\): .* It takes a URL/, wrong);
  }
  assert.match(problems(['--otlp-endpoint', 'http://a', '--monitoring', 'off'])[0], /^otlpEndpoint: .*monitoring/);
  for (const wrong of ['token', 'a=', 'a b=c', 'a=%', 'a=%0d%0ab', 'a=%ff', 'a=b c,=d']) {
    assert.match(problems([], { MOORING_OTLP_HEADERS: wrong })[0], /It takes up to 16 of name=value/, wrong);
  }
});

test('config check says whether the settings can be used, print where each comes from', () => {
  const written = { out: [] as string[], err: [] as string[] };
  const output = { out: (text: string) => written.out.push(text), err: (text: string) => written.err.push(text) };
  assert.equal(runConfig(['check', '--mqtts-port', '0'], {}, output), 0);
  assert.equal(runConfig(['check', '--mqtts-port', 'x'], {}, output), 1);
  assert.match(written.err[0], /--mqtts-port/);
  assert.equal(runConfig([], {}, output), 2);
  assert.equal(runConfig(['print', '--json'], { MOORING_ADMIN_PORT: '0' }, output), 0);
  assert.deepEqual(JSON.parse(written.out[1]).adminPort, { value: 0, source: 'variable' });
  assert.equal(runConfig(['print', '--help'], {}, output), 0);
  assert.match(written.out[2], /^Usage: mooring config/);
});

test('events that wait for an archive are bounded by their bytes', () => {
  const waits = ['--retention-waits-for-archive', 'on'];
  assert.match(problems([...waits, '--retention-bytes', 'off'])[0], /^retentionWaitsForArchive: .*retentionBytes/);
  assert.equal(loadSettings(waits, {}).settings.retentionBytes, 'auto');
});
