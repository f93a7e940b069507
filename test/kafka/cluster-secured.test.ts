/** What docs/cluster.md says to an operator, tried: TLS, logins and certificates of the hub, topics that are made elsewhere, the key of all nodes. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { apiOf } from '../drivers/api.ts';
import { runMooring, startHub } from '../drivers/hub.ts';
import { kafkaMissing, startKafka } from '../drivers/kafka.ts';
import { loopbackCertificate } from '../drivers/object-certificate.ts';

const postgres = process.env.MOORING_TEST_POSTGRES;
const missing = kafkaMissing() ?? (postgres === undefined ? 'MOORING_TEST_POSTGRES is not set' : undefined);
if (missing !== undefined) process.stderr.write(`NOT TESTED: a hub at secured brokers (${missing})\n`);
const ports = ['mqtts', 'amqps', 'https', 'admin', 'amqp'].flatMap((name) => [`--${name}-port`, '0']);
const configs = 'org.apache.kafka.tools.ConfigCommand';

test('a hub speaks to brokers by TLS, with a login and a certificate; what is wrong is named before it serves', {
  skip: missing ?? false,
}, async (t) => {
  const certificate = await loopbackCertificate();
  const [user, password] = ['mooring', 'pass-word-of-the-hub'];
  const clientAuthority = certificate.authority;
  await using kafka = await startKafka({ secured: { user, password, certificate, clientAuthority } });
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-secured-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = (name: string, text: string): string => {
    writeFileSync(path.join(folder, name), text, { mode: 0o600 });
    return path.join(folder, name);
  };
  const schema = `secured_${randomBytes(5).toString('hex')}`;
  const env = { MOORING_POSTGRES_URL: String(postgres), MOORING_KAFKA_PASSWORD: password };
  const base = [
    ...['--storage', 'cluster', '--kafka-brokers', kafka.securedBrokers[0], '--kafka-replicas', '1'],
    ...['--kafka-in-sync-min', '1', '--postgres-schema', schema, '--kafka-tls', 'on'],
    ...['--kafka-login', 'SCRAM-SHA-512', '--kafka-user', user, '--kafka-ca-file', file('ca.pem', clientAuthority)],
  ];
  const shown = [
    '--kafka-cert-file',
    file('hub.pem', certificate.certPem),
    '--kafka-key-file',
    file('hub.key', certificate.keyPem),
  ];
  const started = (args: readonly string[], name: string, more: Readonly<Record<string, string>> = {}) =>
    runMooring(['serve', '--data-dir', path.join(folder, name), ...args, ...ports], { ...env, ...more });

  const unshown = await started(base, 'unshown');
  assert.notEqual(unshown.code, 0);
  assert.match(unshown.stderr, /the Kafka broker 127\.0\.0\.1:\d+ cannot be used: .*certificate/i);
  const wrong = await started([...base, ...shown], 'wrong', { MOORING_KAFKA_PASSWORD: 'another-word' });
  assert.match(wrong.stderr, /it refuses the login of mooring: SASL_AUTHENTICATION_FAILED/);
  assert.doesNotMatch(wrong.stderr, /another-word|pass-word/);
  {
    await using hub = await startHub({ args: [...base, ...shown, '--node-name', 'a'], env });
    const api = apiOf(hub);
    assert.equal((await api.devices.create('d1')).deviceId, 'd1');
    api.close();

    // A node of another key would seal what the others cannot open.
    const other = await started([...base, ...shown, '--node-name', 'b'], 'other');
    assert.notEqual(other.code, 0);
    assert.match(other.stderr, /sealed with another key.*give all of them the same keyEncryptionKey/s);
  }
  await kafka.tool(
    configs,
    ...['--bootstrap-server', kafka.brokers[0], '--alter', '--entity-type', 'topics'],
    ...['--entity-name', 'mooring', '--add-config', 'message.timestamp.type=CreateTime,retention.ms=1000'],
  );
  const changed = await started([...base, ...shown], 'changed');
  assert.notEqual(changed.code, 0);
  assert.match(
    changed.stderr,
    /topic mooring would not keep what the hub promises\. Set message\.timestamp\.type=LogAppendTime \(kafka-configs\.sh/,
  );
});

test('settings of certificates that do not go together are refused', async () => {
  const { code, stderr } = await runMooring(
    ['config', 'check', '--storage', 'cluster', '--kafka-brokers', 'k:1', '--kafka-cert-file', 'x'],
    { MOORING_POSTGRES_URL: 'postgres://db/x' },
  );
  assert.notEqual(code, 0);
  assert.match(stderr, /kafkaCertFile and kafkaKeyFile: give both or none/);
  assert.match(stderr, /are of TLS: set kafkaTls/);
});
