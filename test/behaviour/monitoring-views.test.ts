/** The other ways to look at monitoring events: the command line, `/events`, metrics, and the service's own events. */
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { startCli } from '../drivers/cli.ts';
import { runMooring, startHub, type TestHub } from '../drivers/hub.ts';
import { devicePlace, MonitoringReader, type PlayedDevice, withDevice } from '../drivers/monitoring.ts';
import { MqttDriver } from '../drivers/mqtt.ts';

let hub: TestHub;
let device: PlayedDevice;
before(async () => {
  const args = [
    '--monitoring-service-events',
    'connection-state,lifecycle',
    '--detect-device-failures',
    '3',
    '--monitoring-window-seconds',
    '1',
  ];
  hub = await startHub({ args: [...args, '--monitoring-peer', 'masked'] });
  device = await withDevice(hub, 'seen-1');
});
after(() => hub[Symbol.asyncDispose]());

async function connectOnce(): Promise<void> {
  const { client, returnCode } = await MqttDriver.connect(devicePlace(hub), await device.connect());
  assert.equal(returnCode, 0);
  await client.disconnect();
}

test('mooring monitor connections shows what happens, until Ctrl-C', async () => {
  await using live = startCli(['monitor', 'connections', '--data-dir', hub.dataDir]);
  await live.noted(/Reading \S+-monitoring, 1 partition/);
  await connectOnce();
  await live.printed(2);
  live.signal('SIGINT');
  assert.deepEqual(await live.end(), { code: 0, signal: null });
  assert.match(live.lines()[0], /^\d{4}-\S+Z {2}connected +seen-1 {2}mqtt sas 127\.0\.0\.0\/24$/);
  assert.match(live.lines()[1], /^\S+ {2}disconnected +seen-1 {2}mqtt sas 127\.0\.0\.0\/24 {2}reason=by-client$/);
});

test('as JSON, of one kind, and with a connection string that names no event hub', async () => {
  const args = ['monitor', 'connections', '--from', 'start', '--type', 'identityCreated', '--count', '1'];
  const { code, stdout, stderr } = await runMooring([...args, '--json'], {
    MOORING_CONNECTION_STRING: hub.endpoints.connectionStrings.service,
    MOORING_CA_FILE: hub.endpoints.caFile,
    MOORING_AMQPS_PORT: String(hub.endpoints.ports.amqps),
  });
  assert.equal(code, 0, stderr);
  const event = JSON.parse(stdout);
  assert.deepEqual([event.type, event.deviceId, event.status], ['identityCreated', 'seen-1', 'enabled']);
});

test('the service’s own events stand among the telemetry, in its format', async () => {
  await using reader = await MonitoringReader.open(hub, 'telemetry');
  const created = await reader.nextMessage(() => true);
  assert.equal(created.system['iothub-message-source'], 'deviceLifecycleEvents');
  assert.equal(created.properties.opType, 'createDeviceIdentity');
  await connectOnce();
  const told = [
    await reader.nextMessage((body) => body.sequenceNumber !== undefined),
    await reader.nextMessage((body) => body.sequenceNumber !== undefined),
  ];
  for (const [at, opType] of ['deviceConnected', 'deviceDisconnected'].entries()) {
    const { properties, system, body, deviceId } = told[at];
    const { operationTimestamp, ...rest } = properties;
    assert.match(String(operationTimestamp), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$/);
    assert.deepEqual(rest, {
      deviceId: 'seen-1',
      hubName: hub.endpoints.hubName,
      'iothub-message-schema': 'deviceConnectionStateNotification',
      opType,
    });
    assert.equal(deviceId, 'seen-1');
    assert.equal(system.contentType, 'application/json');
    assert.equal(system.contentEncoding, 'utf-8');
    assert.equal(system['iothub-message-source'], 'deviceConnectionStateEvents');
    assert.match(JSON.parse(body.toString()).sequenceNumber, /^[0-9A-F]{64}$/);
  }
  const [first, second] = told.map(({ body }) => JSON.parse(body.toString()).sequenceNumber as string);
  assert.ok(first < second);
});

/** Follows `/events`; resolves `until` when the text that has come matches. */
function follow(): Promise<{ until(pattern: RegExp): Promise<string>; close(): void }> {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port: hub.endpoints.ports.admin ?? 0, path: '/events' });
    request.once('error', reject);
    request.once('response', (response) => {
      assert.equal(response.statusCode, 200);
      assert.equal(response.headers['content-type'], 'text/event-stream; charset=utf-8');
      let text = '';
      let look = (): void => {};
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
        look();
      });
      resolve({
        until: (pattern) =>
          new Promise((found, lost) => {
            const late = setTimeout(() => lost(new Error(`never came: ${pattern}\n${text}`)), 15_000);
            look = () => {
              if (!pattern.test(text)) return;
              clearTimeout(late);
              found(text);
            };
            look();
          }),
        close: () => request.destroy(),
      });
    });
  });
}

test('/events tells of it as it happens, and metrics count it', async () => {
  const stream = await follow();
  await connectOnce();
  const text = await stream.until(/event: disconnected\nid: \d+\ndata: .*\n\n/);
  stream.close();
  const [, json] = /event: connected\nid: \d+\ndata: (.*)\n\n/.exec(text) ?? [];
  assert.equal(JSON.parse(json).deviceId, 'seen-1');
  const metrics = await (await fetch(`http://127.0.0.1:${hub.endpoints.ports.admin}/metrics`)).text();
  assert.match(metrics, /^mooring_disconnections_total\{reason="by-client"\} [1-9]/m);
  assert.match(metrics, /^mooring_monitoring_events_total\{type="connected"\} [1-9]/m);
});

test('repeated failures of a device are summed, and told as detected', async () => {
  await using reader = await MonitoringReader.open(hub);
  for (let at = 0; at < 5; at++) {
    await MqttDriver.connect(devicePlace(hub), await device.connect({ token: 'nonsense' }));
  }
  const [first, rest] = await reader.take(2, ({ type }) => type === 'authenticationFailed');
  assert.deepEqual([first.count, first.check, first.peer], [1, 'malformed-token', '127.0.0.0/24']);
  assert.deepEqual([rest.count, rest.summedOver], [4, 'source']);
  assert.ok(String(rest.first) <= String(rest.last));
  const raised = await reader.next(({ type }) => type === 'detectionRaised');
  assert.deepEqual(
    [raised.detection, raised.deviceId, raised.observed, raised.threshold],
    ['authentication-failures-of-device', 'seen-1', 5, 3],
  );
});

test('a hub that stops does not wait for those who follow its events', async () => {
  const stream = await follow();
  const stopped = await hub.stop();
  assert.equal(stopped.code, 0);
  assert.match(await stream.until(/event: stopping/), /The hub is stopping/);
});
