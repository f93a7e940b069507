/** A real hub with an adapter, for the contract of adapters and for tests that ask a hub what became of things. */
import type { ContractRig } from '../../src/gateway/testing/contract.ts';
import { readToEnd } from '../reliability/event-reader.ts';
import { apiOf } from './api.ts';
import { type HubOptions, startHub, type TestHub } from './hub.ts';
import { until } from './until.ts';

export interface AdapterHub extends AsyncDisposable {
  readonly hub: TestHub;
  readonly api: ReturnType<typeof apiOf>;
  /** Of the first listener of the adapter that was started last under that name. */
  port(adapter?: string): Promise<number>;
  addDevice(device: string): Promise<string>;
  /** Bodies of a device's messages, in order, behind those that `passOver` has left behind. */
  texts(device: string): Promise<readonly string[]>;
  passOver(): Promise<void>;
  sendCommand(device: string, text: string): Promise<string>;
}

/** @param adapters As the setting `adapters` */
export async function startAdapterHub(
  adapters: readonly object[],
  { env = {}, ...options }: HubOptions = {},
): Promise<AdapterHub> {
  const hub = await startHub({ ...options, env: { ...env, MOORING_ADAPTERS: JSON.stringify(adapters) } });
  const api = apiOf(hub);
  const behind = new Map<string, number>();
  const place = {
    port: hub.endpoints.ports.amqp ?? 0,
    connectionString: hub.endpoints.connectionStrings.eventHubs,
  };
  const read = async (take: (device: string, text: string) => void): Promise<Map<string, number>> => {
    const seen = new Map(behind);
    await readToEnd(place, behind, ({ partition, sequence, deviceId, body }) => {
      seen.set(partition, sequence);
      take(deviceId, body.toString());
    });
    return seen;
  };
  return {
    ...{ hub, api },
    async port(adapter = 'line') {
      const pattern = new RegExp(`"adapter":"${adapter}","ports":\\["[^"]*:(\\d+)"`, 'g');
      let found: number | undefined;
      const isServing = (): boolean => {
        found = Number([...hub.stderr().matchAll(pattern)].pop()?.[1] ?? Number.NaN);
        return !Number.isNaN(found);
      };
      // Several processes may start at once.
      await until(`the adapter ${adapter} serves devices`, isServing, { withinMs: 60_000 });
      return found ?? 0;
    },
    async addDevice(device) {
      await api.devices.delete(device).catch(() => {});
      return (await api.devices.create(device)).authentication.symmetricKey?.primaryKey ?? '';
    },
    async texts(device) {
      const texts: string[] = [];
      await read((from, text) => void (from === device && texts.push(text)));
      return texts;
    },
    async passOver() {
      for (const [partition, sequence] of await read(() => {})) behind.set(partition, sequence);
    },
    async sendCommand(deviceId, bodyText) {
      const { sequence } = await api.commands.send({ deviceId }, { bodyText });
      let outcome: string | undefined;
      await until(`the command ${bodyText} has ended`, async () => {
        const { commands } = await api.commands.find({ deviceId }, { sequence });
        outcome = commands[0]?.trail
          .map(({ step }) => step)
          .find((step) => /^(completed|rejected|expired|deliv)/.test(step));
        return outcome !== undefined;
      });
      return outcome ?? '';
    },
    async [Symbol.asyncDispose]() {
      api.close();
      await hub[Symbol.asyncDispose]();
    },
  };
}

/** Rigs of the contract in one hub: the devices of each case are new, the adapter goes on. */
export function hubRig(open: AdapterHub, adapter: string): () => Promise<ContractRig> {
  return async () => {
    await open.passOver();
    const outcomes: Record<string, 'complete' | 'reject' | 'abandon'> = { completed: 'complete', rejected: 'reject' };
    return {
      // The hub has been given it by its settings.
      start: () => open.port(adapter),
      addDevice: (device) => open.addDevice(device),
      texts: (device) => open.texts(device),
      sendCommand: async (device, text) => outcomes[await open.sendCommand(device, text)] ?? 'abandon',
      async callMethod(deviceId, methodName, payload) {
        return open.api.twins.invoke({ deviceId }, { methodName, payload, connectTimeoutInSeconds: 5 });
      },
      async setDesired(deviceId, desired) {
        await open.api.twins.update({ deviceId }, { properties: { desired } });
      },
      reported: async (deviceId) => (await open.api.twins.get({ deviceId })).properties.reported,
      async giveFile(deviceId, name, bytes) {
        await open.api.files.put('hub', name, { body: once(bytes), bytes: bytes.length });
        const [{ error }] = await open.api.files.grant(name, [{ deviceId }], 3600);
        if (error !== undefined) throw new Error(`the file is not granted: ${error}`);
      },
      async uploaded(deviceId, name) {
        const { body } = await open.api.files.get({ deviceId }, name);
        const pieces: Uint8Array[] = [];
        for await (const piece of body) pieces.push(Buffer.from(piece));
        return Buffer.concat(pieces);
      },
      async disable(device) {
        const { authentication } = await open.api.devices.get(device);
        await open.api.devices.update(device, { status: 'disabled', authentication });
      },
      stop: async () => {},
    };
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
