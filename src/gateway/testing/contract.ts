/**
 * What every adapter keeps, in every host. An author writes a driver, which speaks the adapter's protocol as a device does; a rig is a
 * host with its hub: `fakeRig`, or the project's own ones with a real hub. Each case is a title and a function that rejects.
 */
import assert from 'node:assert/strict';
import type { AdapterDefinition, JsonObject, MethodAnswer, Settlement } from '../types.ts';

export interface ContractDriver {
  /** Of the adapter, with port 0 for its listener. */
  readonly settings: unknown;
  /** Rejects when the adapter refuses the device. @param port Of the adapter's first listener */
  connect(port: number, device: string, key: string): Promise<TestDevice>;
  /** True = the protocol has no proofs, and the adapter vouches: a wrong key is none. */
  readonly provesNothing?: boolean;
  /** Whether a body that the hub keeps is of the message with that text; absent = it holds the text. */
  matches?(kept: string, text: string): boolean;
}

/** A device of the driver. What a protocol cannot do is left out, and its cases with it. */
export interface TestDevice {
  /** Sends a message with that text in it; resolves when the device may forget it. */
  send(text: string): Promise<void>;
  /** The next command: its text, and how to settle it. */
  command?(): Promise<{ readonly text: string; settle(how: Settlement): void }>;
  /** Answers the next method. */
  method?(answer: (name: string, payload: unknown) => MethodAnswer): Promise<void>;
  desired?(): Promise<JsonObject>;
  report?(patch: JsonObject): Promise<void>;
  /** A file that a back end lets the device have. */
  fetch?(name: string): Promise<Uint8Array>;
  /** Resolves when the device may forget the file. */
  upload?(name: string, bytes: Uint8Array): Promise<void>;
  /** Resolves when the adapter has ended the connection. */
  readonly ended?: Promise<void>;
  leave(): Promise<void>;
}

export interface ContractRig {
  /** Starts the adapter; resolves with the port of its first listener. */
  start(definition: AdapterDefinition, settings: unknown): Promise<number>;
  /** @returns its key */
  addDevice(device: string): Promise<string>;
  /** Bodies of its messages that the hub has, in order. */
  texts(device: string): Promise<readonly string[]>;
  /** Resolves with how it was settled in the end. */
  sendCommand(device: string, text: string): Promise<Settlement>;
  callMethod(device: string, name: string, payload: unknown): Promise<MethodAnswer>;
  setDesired(device: string, patch: JsonObject): Promise<void>;
  reported(device: string): Promise<JsonObject>;
  disable(device: string): Promise<void>;
  /** Lets the device fetch a file; absent = the rig's host has no files, and their case is left out. */
  giveFile?(device: string, name: string, bytes: Uint8Array): Promise<void>;
  /** A file that the device has uploaded; undefined = there is none. */
  uploaded?(device: string, name: string): Promise<Uint8Array | undefined>;
  stop(): Promise<void>;
}

export interface ContractCase {
  readonly title: string;
  /** @param runner Told of a case that the driver leaves out, where it can be: `test(title, run)` of node:test does so */
  run(runner?: { skip(message?: string): void }): Promise<void>;
}

/** The driver cannot do what the case is about. */
class LeftOut extends Error {}

/** The cases for one adapter in one rig; each starts it anew. A test runner calls `run` of each. */
export function adapterContract(
  definition: AdapterDefinition,
  driver: ContractDriver,
  makeRig: () => Promise<ContractRig>,
): readonly ContractCase[] {
  const wanted = (title: string, check: (rig: ContractRig, port: number) => Promise<void>): ContractCase => ({
    title,
    async run(runner) {
      const rig = await makeRig();
      try {
        await check(rig, await rig.start(definition, driver.settings));
      } catch (error) {
        if (!(error instanceof LeftOut)) throw error;
        runner?.skip(error.message);
      } finally {
        await rig.stop();
      }
    },
  });
  const matches = driver.matches ?? ((kept, text) => kept.includes(text));
  const enter = async (rig: ContractRig, port: number, device: string): Promise<TestDevice> =>
    driver.connect(port, device, await rig.addDevice(device));

  return [
    wanted('a device that shows a wrong key, or does not exist, is refused', async (rig, port) => {
      await rig.addDevice('meter-1');
      const wrong = Buffer.alloc(32, 7).toString('base64');
      if (!driver.provesNothing) await assert.rejects(driver.connect(port, 'meter-1', wrong));
      await assert.rejects(driver.connect(port, 'nobody', wrong));
    }),
    wanted('messages that were taken are in the hub, in order', async (rig, port) => {
      const device = await enter(rig, port, 'meter-1');
      const texts = Array.from({ length: 50 }, (_, at) => `{"n":${1000 + at}}`);
      await Promise.all(texts.map((text) => device.send(text)));
      const kept = await rig.texts('meter-1');
      assert.equal(kept.length, texts.length);
      for (const [at, text] of texts.entries()) assert.ok(matches(kept[at], text), `message ${at}: ${kept[at]}`);
      await device.leave();
    }),
    wanted('devices do not meet: each one has its own messages', async (rig, port) => {
      const names = ['meter-1', 'meter-2', 'meter-3'];
      const devices = await Promise.all(names.map((name) => enter(rig, port, name)));
      await Promise.all(devices.map((device, at) => device.send(`{"from":"${names[at]}"}`)));
      for (const name of names) {
        const kept = await rig.texts(name);
        assert.equal(kept.length, 1);
        assert.ok(matches(kept[0], `{"from":"${name}"}`));
      }
      await Promise.all(devices.map((device) => device.leave()));
    }),
    wanted(
      'a command is settled as the device says: completed, rejected, abandoned and delivered again',
      async (rig, port) => {
        const device = await enter(rig, port, 'meter-1');
        if (device.command === undefined) return leaveOut(device);
        for (const how of ['complete', 'reject'] as const) {
          const settled = rig.sendCommand('meter-1', `do-${how}`);
          const command = await device.command();
          assert.ok(command.text.includes(`do-${how}`));
          command.settle(how);
          assert.equal(await settled, how);
        }
        const settled = rig.sendCommand('meter-1', 'again');
        (await device.command()).settle('abandon');
        const second = await device.command();
        assert.ok(second.text.includes('again'));
        second.settle('complete');
        assert.equal(await settled, 'complete');
        await device.leave();
      },
    ),
    wanted(
      'a command that a device has not settled when it leaves is delivered to its next connection',
      async (rig, port) => {
        const key = await rig.addDevice('meter-1');
        const first = await driver.connect(port, 'meter-1', key);
        if (first.command === undefined) return leaveOut(first);
        const settled = rig.sendCommand('meter-1', 'kept');
        await first.command();
        await first.leave();
        const second = await driver.connect(port, 'meter-1', key);
        const command = await second.command?.();
        assert.ok(command?.text.includes('kept'));
        command?.settle('complete');
        assert.equal(await settled, 'complete');
        await second.leave();
      },
    ),
    wanted('a method is answered by the device', async (rig, port) => {
      const device = await enter(rig, port, 'meter-1');
      if (device.method === undefined) return leaveOut(device);
      const answering = device.method((name, payload) => ({ status: 207, payload: { name, payload } }));
      const answer = await rig.callMethod('meter-1', 'reboot', { in: 5 });
      await answering;
      assert.deepEqual(answer, { status: 207, payload: { name: 'reboot', payload: { in: 5 } } });
      await device.leave();
    }),
    wanted('desired properties reach the device, reported ones the hub', async (rig, port) => {
      const device = await enter(rig, port, 'meter-1');
      if (device.desired === undefined && device.report === undefined) return leaveOut(device);
      if (device.desired !== undefined) {
        await rig.setDesired('meter-1', { interval: 30 });
        const patch = await device.desired();
        assert.equal(patch.interval, 30);
      }
      if (device.report !== undefined) {
        await device.report({ firmware: '1.2' });
        assert.equal((await rig.reported('meter-1')).firmware, '1.2');
      }
      await device.leave();
    }),
    wanted(
      'a file that a back end lets the device have arrives whole; one that it uploads is in the hub',
      async (rig, port) => {
        const device = await enter(rig, port, 'meter-1');
        const { giveFile, uploaded } = rig;
        if (
          (device.fetch === undefined && device.upload === undefined) ||
          giveFile === undefined ||
          uploaded === undefined
        )
          return leaveOut(device);
        const file = Buffer.from(Array.from({ length: 150_001 }, (_, at) => (at * 31 + (at >> 8)) & 0xff));
        if (device.fetch !== undefined) {
          await rig.giveFile?.('meter-1', 'fw/7.bin', file);
          assert.ok(file.equals(await device.fetch('fw/7.bin')), 'it arrives as it is');
          await assert.rejects(device.fetch('fw/8.bin'));
        }
        if (device.upload !== undefined) {
          for (const [name, bytes] of [
            ['logs/day.bin', file],
            ['small', Buffer.from('x')],
          ] as const) {
            await device.upload(name, bytes);
            assert.ok(
              bytes.equals((await rig.uploaded?.('meter-1', name)) ?? Buffer.alloc(0)),
              `${name} is in the hub`,
            );
          }
        }
        await device.leave();
      },
    ),
    wanted('a newer connection of a device ends the older one, and works', async (rig, port) => {
      const key = await rig.addDevice('meter-1');
      const first = await driver.connect(port, 'meter-1', key);
      if (first.ended === undefined) return leaveOut(first);
      const second = await driver.connect(port, 'meter-1', key);
      await first.ended;
      await second.send('{"second":true}');
      assert.equal((await rig.texts('meter-1')).length, 1);
      await second.leave();
    }),
    wanted('a device that is disabled loses its connection, and does not come back', async (rig, port) => {
      const key = await rig.addDevice('meter-1');
      const device = await driver.connect(port, 'meter-1', key);
      await device.send('{"before":true}');
      await rig.disable('meter-1');
      await device.ended;
      await assert.rejects(driver.connect(port, 'meter-1', key));
    }),
  ];
}

async function leaveOut(device: TestDevice): Promise<never> {
  await device.leave();
  throw new LeftOut('the driver has no such part');
}
