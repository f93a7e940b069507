/**
 * The adapter mqtt-topics and mosquitto, of the distribution's packages: its clients speak as Tasmota and zigbee2mqtt do, and its broker is bridged.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import mqttTopics from '../src/adapters/mqtt-topics/index.ts';
import { FakeHub, runAdapter } from '../src/gateway/testing/index.ts';
import { freePort } from '../test/drivers/free-ports.ts';
import { until } from '../test/drivers/until.ts';

const run = promisify(execFile);
const folder = mkdtempSync(path.join(os.tmpdir(), 'mooring-mqtt-topics-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('mosquitto_pub and mosquitto_sub as Tasmota: state, sensors over both versions, a command to its topic', async (context) => {
  const hub = new FakeHub();
  const adapter = await runAdapter(mqttTopics, { listen: { port: 0, plain: true }, presets: ['tasmota'] }, hub);
  context.after(() => adapter.stop());
  const login = [
    '-h',
    '127.0.0.1',
    '-p',
    String(adapter.ports[0]),
    '-u',
    'plug-1',
    '-P',
    hub.addDevice('plug-1'),
    '-i',
    'DVES_83D2',
  ];
  await run('mosquitto_pub', [...login, '-t', 'tele/tasmota_83D2/STATE', '-m', '{"POWER":"ON"}', '-q', '1']);
  await run('mosquitto_pub', [
    ...login,
    '-t',
    'tele/tasmota_83D2/SENSOR',
    '-m',
    '{"ENERGY":{"Power":12}}',
    '-q',
    '2',
    '-V',
    'mqttv5',
  ]);
  assert.deepEqual(hub.textsOf('plug-1'), ['{"POWER":"ON"}', '{"ENERGY":{"Power":12}}']);
  const listener = spawn('mosquitto_sub', [
    ...login,
    '-t',
    'cmnd/tasmota_83D2/#',
    '-q',
    '1',
    '-W',
    '20',
    '-F',
    '%t %p',
  ]);
  let shown = '';
  listener.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
  });
  assert.equal(await hub.sendCommand('plug-1', 'TOGGLE', { command: 'POWER' }), 'complete');
  await until('mosquitto_sub shows it', () => shown.includes('\n'));
  assert.equal(shown.trim(), 'cmnd/tasmota_83D2/POWER TOGGLE');
  listener.kill();
});

test('mosquitto_pub and mosquitto_sub as zigbee2mqtt: one login for a house, a lamp and a sensor in a room, availability, a command', async (context) => {
  const hub = new FakeHub();
  for (const name of ['home-lamp', 'home-hall%2Fsensor']) hub.addDevice(name);
  const passwordFile = path.join(folder, 'coordinator');
  writeFileSync(passwordFile, 'zigbee secret\n');
  const users = [{ name: 'z2m', password: { $file: passwordFile }, devices: 'home-{device}' }];
  const settings = { listen: { port: 0, plain: true, users }, presets: ['zigbee2mqtt'] };
  const adapter = await runAdapter(mqttTopics, settings, hub);
  context.after(() => adapter.stop());
  const login = ['-h', '127.0.0.1', '-p', String(adapter.ports[0]), '-u', 'z2m', '-P', 'zigbee secret', '-q', '1'];
  const listener = spawn('mosquitto_sub', [...login, '-t', 'zigbee2mqtt/+/set', '-W', '60', '-F', '%t %p']);
  context.after(() => listener.kill());
  let shown = '';
  listener.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
  });
  const state = '{"brightness":254,"color_mode":"color_temp","color_temp":370,"linkquality":116,"state":"ON"}';
  const climate = '{"battery":97,"humidity":47.3,"linkquality":63,"pressure":987,"temperature":21.52,"voltage":3005}';
  for (const [topic, body, ...more] of [
    ['zigbee2mqtt/bridge/state', '{"state":"online"}', '-r'],
    ['zigbee2mqtt/lamp/availability', '{"state":"online"}', '-r'],
    ['zigbee2mqtt/lamp', state],
    ['zigbee2mqtt/hall/sensor', climate],
  ]) {
    await run('mosquitto_pub', [...login, '-t', topic, '-m', body, ...more]);
  }
  assert.deepEqual([hub.textsOf('home-lamp'), hub.textsOf('home-hall%2Fsensor')], [[state], [climate]]);
  assert.equal(await hub.sendCommand('home-lamp', '{"state":"OFF"}'), 'complete');
  await until('mosquitto_sub shows it', () => shown.includes('\n'));
  assert.equal(shown.trim(), 'zigbee2mqtt/lamp/set {"state":"OFF"}');
});

test('a broker that is bridged: in order, kept while the bridge is away, subscribed again when the broker has restarted', async (context) => {
  const hub = new FakeHub();
  for (const name of ['site-plug', 'site-lamp']) hub.addDevice(name);
  const port = await freePort();
  const passwordFile = path.join(folder, 'password');
  writeFileSync(passwordFile, 'broker secret\n');
  const passwords = path.join(folder, 'passwords');
  await run('mosquitto_passwd', ['-b', '-c', passwords, 'bridge', 'broker secret']);
  const configuration = path.join(folder, 'broker.conf');
  const lines = [
    `user ${os.userInfo().username}`,
    `listener ${port} 127.0.0.1`,
    'allow_anonymous false',
    `password_file ${passwords}`,
  ];
  writeFileSync(configuration, `${lines.join('\n')}\n`);
  let broker = await startBroker(configuration, port);
  context.after(() => stop(broker));
  const here = ['-h', '127.0.0.1', '-p', String(port), '-u', 'bridge', '-P', 'broker secret', '-q', '1'];
  const publish = (topic: string, body: string, ...more: string[]): Promise<unknown> =>
    run('mosquitto_pub', [...here, '-t', topic, '-m', body, ...more]);

  // What the broker keeps of before is the past; presence counts.
  await publish('tele/plug/LWT', 'Online', '-r');
  await publish('zigbee2mqtt/lamp', '{"old":true}', '-r');
  const bridge = {
    url: `mqtt://127.0.0.1:${port}`,
    userName: 'bridge',
    password: { $file: passwordFile },
    devices: 'site-{device}',
  };
  const settings = { bridge, presets: ['tasmota', 'zigbee2mqtt'] };
  const first = await runAdapter(mqttTopics, settings, hub);
  await until('the plug is there', () => hub.isConnected('site-plug'));
  const bodies = Array.from({ length: 200 }, (_, at) => `{"n":${at}}`);
  const many = spawn('mosquitto_pub', [...here, '-t', 'tele/plug/SENSOR', '-l']);
  many.stdin.end(`${bodies.join('\n')}\n`);
  await once(many, 'close');
  await until('all are there', () => hub.textsOf('site-plug').length === 200);
  assert.deepEqual(hub.textsOf('site-plug'), bodies);
  assert.deepEqual(hub.textsOf('site-lamp'), []);

  const listener = spawn('mosquitto_sub', [...here, '-t', 'cmnd/plug/#', '-W', '20', '-F', '%t %p']);
  let shown = '';
  listener.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
  });
  await delayUntilSubscribed(here);
  assert.equal(await hub.sendCommand('site-plug', 'ON'), 'complete');
  await until('the plug hears it', () => shown.includes('\n'));
  assert.equal(shown.trim(), 'cmnd/plug/POWER ON');
  listener.kill();

  // While the bridge is away the broker keeps what comes for it.
  await first.stop();
  await publish('tele/plug/SENSOR', '{"kept":1}');
  const second = await runAdapter(mqttTopics, settings, hub);
  context.after(() => second.stop());
  await until('what was kept is there', () => hub.textsOf('site-plug').includes('{"kept":1}'));

  // The broker forgets all when it restarts: the bridge finds it, and subscribes again.
  await stop(broker);
  await until('its end is told', () => second.health().status === 'warn');
  broker = await startBroker(configuration, port);
  await until('it is there again', () => second.health().status === 'ok');
  await publish('tele/plug/SENSOR', '{"after":1}');
  await until('it is there', () => hub.textsOf('site-plug').includes('{"after":1}'));
});

test('a broker that refuses is told to the operator, and tried again', async (context) => {
  const hub = new FakeHub();
  const port = await freePort();
  const configuration = path.join(folder, 'closed.conf');
  writeFileSync(configuration, `user ${os.userInfo().username}\nlistener ${port} 127.0.0.1\nallow_anonymous false\n`);
  const broker = await startBroker(configuration, port);
  context.after(() => stop(broker));
  const adapter = await runAdapter(
    mqttTopics,
    { bridge: { url: `mqtt://127.0.0.1:${port}` }, presets: ['tasmota'] },
    hub,
  );
  context.after(() => adapter.stop());
  const told = (): number => adapter.lines.filter(({ facts }) => /not authorized/.test(String(facts.reason))).length;
  await until('it is told twice', () => told() >= 2);
  assert.equal(adapter.health().status, 'warn');
});

async function startBroker(configuration: string, port: number): Promise<ChildProcess> {
  const broker = spawn('mosquitto', ['-c', configuration], { stdio: 'ignore' });
  await once(broker, 'spawn');
  await until('mosquitto listens', async () => {
    const socket = net.connect(port, '127.0.0.1');
    const isOpen = await new Promise<boolean>((resolve) =>
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false)),
    );
    socket.destroy();
    return isOpen;
  });
  return broker;
}

async function stop(broker: ChildProcess): Promise<void> {
  const ended = once(broker, 'exit');
  if (broker.exitCode === null && broker.signalCode === null && broker.kill('SIGTERM')) await ended;
}

/** mosquitto_sub does not say when it has subscribed: one that came later has, so the first one has, too. */
async function delayUntilSubscribed(here: readonly string[]): Promise<void> {
  await run('mosquitto_pub', [...here, '-t', 'marker', '-m', 'x', '-r']);
  await run('mosquitto_sub', [...here, '-t', 'marker', '-C', '1', '-W', '20']);
}
