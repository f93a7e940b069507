/** Java's MultiplexingClient: several devices share one connection, and what happens to one of them is no matter of the others. */
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import type { ApiClient } from '../src/api/client.ts';
import { apiOf } from '../test/drivers/api.ts';
import type { TestHub } from '../test/drivers/hub.ts';
import type { ClientEvent } from './support/client.ts';
import { DeviceProcess, deviceSdks, hostFor } from './support/device-sdks.ts';
import { EventTail } from './support/events.ts';
import { startStockHub, whyNot } from './support/hub.ts';
import { sumOfNodes } from './support/nodes.ts';
import { missing } from './support/programs.ts';
import { shows } from './support/shows.ts';

const DEVICES = 5;
const NOTE_MS_MAX = 5000;
const CUT_OFF_MS_MAX = 20_000;
const sdk = deviceSdks.find(({ language }) => language === 'Java') as (typeof deviceSdks)[number];
const operation =
  'MultiplexingClient: five devices on one connection send, take commands, use twins and answer methods; one is disabled, one joins, one leaves, the others go on';

describe('devices that share a connection', { skip: await whyNot() }, () => {
  let hub: TestHub;
  let api: ApiClient;
  let tail: EventTail;

  before(async () => {
    hub = await startStockHub();
    api = apiOf(hub);
    tail = new EventTail(hub);
  });

  after(async () => {
    await tail?.[Symbol.asyncDispose]();
    api?.close();
    await hub?.[Symbol.asyncDispose]();
  });

  const connections = (door: string): Promise<number> => sumOfNodes(hub, `mooring_connections{door="${door}"}`);

  /** Those of the test's own requests are closed at once, the hub notes it a little later. */
  async function assertConnections(door: string, count: number): Promise<void> {
    api.close();
    const deadline = Date.now() + NOTE_MS_MAX;
    for (let open = await connections(door); open !== count; open = await connections(door)) {
      assert.ok(Date.now() < deadline, `${open} connections at ${door}, not ${count}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  for (const [transport, door] of [
    ['AMQPS', 'amqps'],
    ['AMQPS_WS', 'https'],
  ] as const) {
    shows({ sdk: sdk.name, transport, operation }, missing('Java'), async () => {
      await using process = await DeviceProcess.start(sdk, hub);
      const { client } = process;
      let round = 0;

      const job = async (deviceId: string): Promise<object> => {
        const { authentication } = await api.devices.create(deviceId);
        const key = authentication.symmetricKey.primaryKey;
        const place = `HostName=${hub.endpoints.hostName};DeviceId=${deviceId}`;
        return { transport, connectionString: hostFor('Java', `${place};SharedAccessKey=${key}`) };
      };

      /** Everything that a device does, once more. */
      async function works(deviceId: string): Promise<void> {
        const mark = `${deviceId}-${round}`;
        await process.send(deviceId, { text: mark, messageId: mark });
        const { system } = await tail.find(({ messageId }) => messageId === mark);
        assert.equal(system['iothub-connection-device-id'], deviceId);
        await api.commands.send({ deviceId }, { bodyText: mark, messageId: mark });
        const command = await process.command(deviceId, mark);
        assert.equal(Buffer.from(command.body, 'base64').toString(), mark);
        await client.must('report', deviceId, { mark });
        assert.equal((await client.must('getTwin', deviceId)).reported.mark, mark);
        await api.twins.update({ deviceId }, { properties: { desired: { mark } } });
        await client.next('desired', 20_000, (event) => event.device === deviceId && event.patch.mark === mark);
        const answer = await api.twins.invoke({ deviceId }, { methodName: 'echo', payload: { mark } });
        assert.deepEqual(answer.payload, { mark });
      }

      async function startsToWork(deviceId: string): Promise<void> {
        await process.receive(deviceId, 'complete');
        await client.must('watchTwin', deviceId);
        await client.must('answerMethods', deviceId, { echo: 'echo' });
        await works(deviceId);
      }

      const ids = Array.from({ length: DEVICES }, (_, at) => `together-${transport}-${at}`.toLowerCase());
      const jobs = Object.fromEntries(await Promise.all(ids.map(async (id) => [id, await job(id)])));
      // The reader of the events has some of its own.
      const before = door === 'https' ? 0 : await connections(door);
      await assertConnections(door, before);
      await client.must('openTogether', transport, '127.0.0.1', jobs);
      await assertConnections(door, before + 1);
      await Promise.all(ids.map(startsToWork));

      const [disabled, leaving, ...others] = ids;
      const of =
        (...some: readonly string[]) =>
        ({ device }: ClientEvent): boolean =>
          some.includes(device);
      await api.devices.update(disabled, { status: 'disabled' });
      await client.next('disconnected', CUT_OFF_MS_MAX, of(disabled));
      round++;
      await Promise.all([leaving, ...others].map(works));

      await client.must('leave', transport, leaving);
      const late = `late-${transport}`.toLowerCase();
      await client.must('join', transport, late, await job(late));
      await startsToWork(late);
      round++;
      await Promise.all([late, ...others].map(works));
      assert.deepEqual(client.seen('disconnected').filter(of(late, ...others)), []);
      assert.deepEqual(client.seen('connection lost'), []);
      await assertConnections(door, before + 1);
      await client.must('closeTogether', transport);
    });
  }
});
