/** The sample that polls: the contract of adapters, and what is its own, against a Modbus server of the test. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { adapterContract, type ContractDriver, FakeHub, fakeRig, runAdapter } from '../../src/gateway/testing/index.ts';
import { startAdapterHub } from '../../test/drivers/adapter-hub.ts';
import { until } from '../../test/drivers/until.ts';
import modbus from './adapter.ts';
import { ModbusServer } from './modbus-server.ts';
import { numberOf, type Register, registersFor, typeNames } from './registers.ts';

const pace = { everySeconds: 0.02, atLeastSeconds: 60 };
let server: ModbusServer;
let port: number;

before(async () => {
  server = new ModbusServer();
  port = await server.listen();
});
after(() => server.close());
beforeEach(() => {
  server.cut();
  server.units.clear();
  server.reads.clear();
  server.sealed.clear();
  server.pieceBytes = 1000;
});

describe('the contract of adapters: modbus, fake hub', () => {
  /** A device has a number only: the contract's texts hold one, or a name. */
  const digitsOf = (text: string): number => Number(/\d+/.exec(text)?.[0] ?? 0);
  const units = ['nobody', 'meter-1', 'meter-2', 'meter-3'];
  const devices = () =>
    units.map((device, unit) => ({
      ...{ device, host: '127.0.0.1', port, unit, ...pace },
      registers: [{ name: 'n', at: 0, type: 'u32' }],
    }));
  const driver = (): ContractDriver => ({
    settings: { devices: devices(), retrySeconds: 0.02 },
    provesNothing: true,
    async connect(_, device) {
      const unit = units.indexOf(device);
      const polled = async (times: number): Promise<void> => {
        const from = server.reads.get(unit) ?? 0;
        await until(`${device} is polled`, () => (server.reads.get(unit) ?? 0) >= from + times, { withinMs: 1000 });
      };
      await polled(1);
      let turn = Promise.resolve();
      return {
        send(text) {
          turn = turn.then(async () => {
            server.units.set(unit, Uint16Array.of(digitsOf(text) >> 16, digitsOf(text) & 0xffff));
            // The first one may have been under way; behind the second the message is stored.
            await polled(3);
          });
          return turn;
        },
        leave: async () => void server.units.delete(unit),
      };
    },
    matches: (kept, text) => JSON.parse(kept).n === digitsOf(text),
  });
  // The port is known when a case begins.
  const count = adapterContract(modbus, { ...driver(), settings: undefined }, fakeRig).length;
  for (let at = 0; at < count; at++) {
    const { title } = adapterContract(modbus, driver(), fakeRig)[at];
    test(title, { timeout: 20_000 }, (t) => adapterContract(modbus, driver(), fakeRig)[at].run(t));
  }
});

describe('modbus', () => {
  const registers = [
    { name: 'temperature', at: 0, type: 'i16', scale: 0.1 },
    { name: 'setpoint', at: 1, scale: 0.5, writable: true },
    { name: 'litres', at: 2, type: 'u32' },
    { name: 'sealed', at: 4, writable: true },
    { name: 'missing', at: 40 },
  ];
  const settings = () => ({
    devices: [{ device: 'boiler', host: '127.0.0.1', port, unit: 9, ...pace, registers }],
    ...{ retrySeconds: 0.02, timeoutSeconds: 0.5 },
  });
  const first = '{"temperature":-1.5,"setpoint":21.5,"litres":65538,"sealed":7}';
  const fill = () => server.units.set(9, Uint16Array.of(0x10000 - 15, 43, 1, 2, 7));
  const running = async (t: { after(end: () => Promise<void>): void }) => {
    const hub = new FakeHub();
    hub.addDevice('boiler');
    const adapter = await runAdapter(modbus, settings(), hub);
    t.after(() => adapter.stop());
    return hub;
  };
  const texts = (hub: FakeHub) => hub.textsOf('boiler');

  test('registers are a message with names, whenever they change', async (t) => {
    server.pieceBytes = 3;
    fill();
    const hub = await running(t);
    await until('the first message is there', () => texts(hub).length === 1);
    const reads = server.reads.get(9) ?? 0;
    await until('it is polled on', () => (server.reads.get(9) ?? 0) > reads + 30);
    assert.deepEqual(texts(hub), [first], 'nothing has changed');
    server.units.get(9)![0] = 5;
    await until('it has changed', () => texts(hub).length === 2);
    assert.equal(JSON.parse(texts(hub)[1]).temperature, 0.5);
  });

  test('a command writes registers, all of them or none', async (t) => {
    fill();
    const hub = await running(t);
    await until('it is connected', () => hub.isConnected('boiler'));
    const send = (value: unknown) => hub.sendCommand('boiler', JSON.stringify(value));
    assert.equal(await send({ setpoint: 30 }), 'complete');
    assert.equal(server.units.get(9)![1], 60);
    for (const wrong of [{ setpoint: 20, litres: 1 }, { setpoint: -1 }, { setpoint: '20' }, { none: 1 }, {}, [], 'x'])
      assert.equal(await send(wrong), 'reject', JSON.stringify(wrong));
    assert.equal(server.units.get(9)![1], 60);
    server.sealed.add(4);
    assert.equal(await send({ sealed: 1 }), 'reject', 'the device does not want it');
  });

  test('a device that goes away is not connected, and comes back', async (t) => {
    fill();
    const hub = await running(t);
    await until('the first message is there', () => texts(hub).length === 1);
    server.cut();
    await until('it has come back, and told what it has', () => texts(hub).length === 2);
    assert.deepEqual(texts(hub), [first, first]);
  });
});

test('in a real hub: the device is made on sight, and its registers are events', { timeout: 60_000 }, async () => {
  server.units.set(9, Uint16Array.of(42));
  const device = { device: 'boiler-1', host: '127.0.0.1', port, unit: 9, registers: [{ name: 'n', at: 0 }] };
  const adapter = path.join(import.meta.dirname, 'adapter.ts');
  const rights = { vouchFor: ['boiler-*'], create: { max: 10 } };
  await using open = await startAdapterHub([{ adapter, name: 'modbus', ...rights, settings: { devices: [device] } }]);
  await until('it is stored', async () => (await open.texts('boiler-1')).length > 0, { everyMs: 200 });
  assert.deepEqual(await open.texts('boiler-1'), ['{"n":42}']);
});

test('what a register cannot hold is not written; what it can comes back', () => {
  for (const type of typeNames)
    for (const scale of [1, 0.1, -2, 100]) {
      const register: Register = { name: 'x', kind: 'holding', at: 0, type, scale };
      for (const value of [0, 1, -1, 70_000, 5e9, 1e39, Number.NaN]) {
        const bytes = registersFor(register, value);
        if (bytes === undefined) continue;
        const back = numberOf(register, bytes);
        const allowed = type === 'f32' ? Math.abs(value) * 1e-6 : Math.abs(scale) / 2;
        assert.ok(Math.abs(back - value) <= allowed, `${type} of ${scale}: ${value} came back as ${back}`);
      }
      assert.equal(registersFor(register, 1e39 * Math.abs(scale)), undefined);
      assert.equal(registersFor(register, Number.NaN), undefined);
    }
});
