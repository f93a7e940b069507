/** What an adapter may do in a hub, and what monitoring tells of it: an adapter that asks for whatever a test says. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type AdapterHub, startAdapterHub } from '../drivers/adapter-hub.ts';
import { runMooring } from '../drivers/hub.ts';
import { openLine } from '../drivers/line-device.ts';
import { MonitoringReader, type Told } from '../drivers/monitoring.ts';

const adapter = path.join(import.meta.dirname, '..', 'drivers', 'rights-adapter.ts');
const rights = { vouchFor: ['zb-*'], sharedKeysOf: ['psk-1', 'psk-3'], create: { max: 2 } };

describe('the rights of an adapter', { timeout: 120_000 }, () => {
  let open: AdapterHub;
  let reader: MonitoringReader;
  let port: number;
  before(async () => {
    const entry = { adapter, name: 'rights', settings: { port: 0 }, ...rights };
    open = await startAdapterHub([entry], { args: ['--trace-devices', 'zb-1'] });
    reader = await MonitoringReader.open(open.hub);
    port = await open.port('rights');
  });
  after(async () => {
    await reader[Symbol.asyncDispose]();
    await open[Symbol.asyncDispose]();
  });
  /** The first event of monitoring that is such. */
  const event = async (isMeant: (told: Told) => boolean): Promise<Told> => {
    await reader.until((all) => all.some(isMeant));
    return reader.all().find(isMeant) as Told;
  };
  /** What the adapter answers to a line. */
  const ask = async (line: string): Promise<string> => {
    const { socket } = await openLine(port);
    const answered = new Promise<Buffer>((resolve) => socket.once('data', resolve));
    socket.write(`${line}\n`);
    const answer = String(await answered).trim();
    // One answer a connection; its session lives on.
    return answer;
  };

  test('it vouches for the devices that it may, which are made on sight up to its bound, and for no others', async () => {
    assert.equal(await ask('vouched zb-1'), 'sent zb-1');
    assert.equal(await ask('vouched zb-2'), 'sent zb-2');
    assert.equal(await ask('vouched zb-3'), 'unauthorized', 'nothing that a wait would mend');
    await open.addDevice('other-1');
    assert.equal(await ask('vouched other-1'), 'unauthorized');
    const made = await open.api.devices.get('zb-1');
    assert.equal(made.authentication.type, 'none');
    await assert.rejects(open.api.devices.get('zb-3'));
    // A device that is made on sight has not failed to prove itself.
    await event(({ type, deviceId }) => type === 'connected' && deviceId === 'zb-2');
    const failed = reader.all().filter(({ type }) => type === 'authenticationFailed');
    assert.deepEqual(
      failed.map(({ deviceId }) => deviceId),
      [],
    );
  });

  test('the shared key of a device is derived for it where it may have it, and told; without that it proves nothing', async () => {
    const primary = await open.addDevice('psk-1');
    await open.addDevice('psk-2');
    await open.addDevice('psk-3');
    assert.equal(await ask('psk psk-1'), 'unauthorized');
    const expected = createHmac('sha256', Buffer.from(primary, 'base64')).update('mooring psk').digest('hex');
    assert.equal(await ask('key psk-1'), expected);
    assert.equal(await ask('psk psk-1'), 'sent psk-1');
    assert.equal(await ask('key psk-2'), 'none');
    assert.equal(await ask('psk psk-2'), 'unauthorized');
    const { authentication } = await open.api.devices.get('psk-3');
    await open.api.devices.update('psk-3', { status: 'disabled', authentication });
    assert.equal(await ask('key psk-3'), 'none');
    const told = await event(({ type }) => type === 'sharedKeyDerived');
    assert.deepEqual([told.deviceId, told.policyName], ['psk-1', 'adapter:rights']);
  });

  test('connections, the passport of a message and the trail of a command name the adapter and the outer address', async () => {
    const of = (wanted: string) => (told: Told) => told.type === wanted && told.deviceId === 'zb-1';
    const connected = await event(of('connected'));
    assert.deepEqual(
      [connected.protocol, connected.peer, connected.address],
      ['adapter:rights', '192.0.2.7', 'eui-zb-1'],
    );
    const received = await event((told) => of('traceStep')(told) && told.step === 'received');
    assert.deepEqual(
      [received.protocol, received.address, received.messageId],
      ['adapter:rights', 'port/zb-1/7', 'm1'],
    );
    const repeated = (told: Told) =>
      of('traceStep')(told) && told.step === 'received' && told.address === 'port/zb-1/8';
    await reader.until((all) => all.filter(repeated).length === 3);
    const started = await event(({ type }) => type === 'adapterStarted');
    assert.equal(started.adapter, 'rights');
    assert.equal(await open.sendCommand('zb-1', 'open'), 'completed');
    const { commands } = await open.api.commands.find({ deviceId: 'zb-1' }, { sequence: 1 });
    const handed = commands[0].trail.find(({ step }) => step === 'handed-over');
    assert.match(handed?.detail ?? '', /adapter:rights/);
  });
});

test('config check asks the schemas of adapters, and names what is wrong without its value', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-check-'));
  const check = async (adapters: readonly object[]) => {
    const file = path.join(folder, 'hub.json');
    writeFileSync(file, JSON.stringify({ adapters }));
    return runMooring(['config', 'check', '--config', file]);
  };
  try {
    assert.equal((await check([{ adapter: 'line', settings: { port: 0 } }])).code, 0);
    const wrong = await check([{ adapter: 'line', settings: { port: 'geheim' } }]);
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /adapters, line: .*settings\.port/);
    assert.ok(!wrong.stderr.includes('geheim'));
    assert.match((await check([{ adapter: 'lime' }])).stderr, /no adapter lime/);
    assert.equal((await check([{ adapter: 'line' }, { adapter: 'line' }])).code, 1);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
