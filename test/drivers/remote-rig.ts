/** A gateway beside the devices, in this process, with a real hub: for the contract of adapters, and for what only such a host does. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type ApiClient, createApiClient } from '../../src/api/client.ts';
import { parseConnectionString } from '../../src/api/connection-string.ts';
import { systemClock } from '../../src/base/clock.ts';
import { RemoteHost, type RemoteHostOptions } from '../../src/gateway/remote/remote-host.ts';
import { checkSettings } from '../../src/gateway/settings.ts';
import type { ContractRig } from '../../src/gateway/testing/contract.ts';
import type { Adapter, AdapterDefinition, Facts, Log } from '../../src/gateway/types.ts';
import { type ReadEvent, readToEnd } from '../reliability/event-reader.ts';
import type { TestHub } from './hub.ts';
import { until } from './until.ts';

export interface GatewayRun {
  readonly remote: RemoteHost;
  readonly lines: readonly string[];
  readonly ports: readonly number[];
  /** As its own program does it: the adapter first, then the rest. */
  stop(): Promise<void>;
}

/** What a gateway needs to reach a hub that runs as a process. */
export function hubOptions(
  hub: TestHub,
  port = hub.endpoints.ports.amqps as number,
  policy: 'iothubowner' | 'device' = 'iothubowner',
): Pick<RemoteHostOptions, 'hub' | 'credential' | 'httpsPort'> {
  const parts = parseConnectionString(hub.endpoints.connectionStrings[policy]);
  const [policyName, key] = [parts.get('sharedaccesskeyname') ?? '', parts.get('sharedaccesskey') ?? ''];
  return {
    hub: { host: 'localhost', port, isTls: true, ca: hub.ca },
    credential: { kind: 'key', policyName, key },
    httpsPort: hub.endpoints.ports.https as number,
  };
}

export async function runGateway(
  options: Omit<RemoteHostOptions, 'clock' | 'log' | 'listening'>,
  definition?: AdapterDefinition,
  settings: unknown = {},
): Promise<GatewayRun> {
  const lines: string[] = [];
  const ports: number[] = [];
  const say = (text: string, facts: Facts = {}): void => void lines.push(`${text} ${JSON.stringify(facts)}`);
  const log: Log = { debug: say, info: say, warn: say, error: say };
  const remote = new RemoteHost({
    clock: systemClock,
    log,
    listening: ({ port }) => void ports.push(port),
    ...options,
  });
  let adapter: Adapter | undefined;
  if (definition !== undefined) {
    adapter = definition.create(remote.host, await checkSettings(definition, settings, process.cwd(), {}));
  }
  remote.start();
  await adapter?.start();
  return {
    remote,
    lines,
    ports,
    async stop() {
      await remote.parts.listeners.stopAccepting();
      await adapter?.stop?.(AbortSignal.timeout(2000));
      await remote.stop();
    },
  };
}

export function apiOf(hub: TestHub): ApiClient {
  return createApiClient({
    connectionString: hub.endpoints.connectionStrings.iothubowner,
    port: hub.endpoints.ports.https as number,
    ca: hub.ca,
  });
}

/** Reads the hub's telemetry from where it was left. */
export class EventFollower {
  readonly #hub: TestHub;
  readonly #behind = new Map<string, number>();
  readonly events: ReadEvent[] = [];

  constructor(hub: TestHub) {
    this.#hub = hub;
  }

  async read(): Promise<readonly ReadEvent[]> {
    const place = {
      port: this.#hub.endpoints.ports.amqp as number,
      connectionString: this.#hub.endpoints.connectionStrings.eventHubs,
    };
    await readToEnd(place, this.#behind, (event) => {
      this.#behind.set(event.partition, event.sequence);
      this.events.push(event);
    });
    return this.events;
  }
}

export function folderOf(t: { after(end: () => void): void }): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-gateway-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The contract's rig over one hub: what a case has made is gone behind it. */
export async function remoteRig(
  hub: TestHub,
  rights: Pick<RemoteHostOptions, 'sharedKeysOf' | 'certificatesOf'> = {},
): Promise<ContractRig> {
  const api = apiOf(hub);
  const folder = mkdtempSync(path.join(tmpdir(), 'mooring-gateway-'));
  const follower = new EventFollower(hub);
  await follower.read();
  follower.events.length = 0;
  const made = new Set<string>();
  let running: GatewayRun | undefined;
  return {
    async start(definition, settings) {
      // It needs no more than to be devices.
      const place = hubOptions(hub, undefined, 'device');
      running = await runGateway({ ...place, ...rights, folder }, definition, settings);
      const { remote } = running;
      await until('the gateway has reached the hub', () => remote.host.hubReachable);
      return running.ports[0];
    },
    async addDevice(deviceId) {
      const { authentication } = await api.devices.create(deviceId, {});
      made.add(deviceId);
      return authentication?.symmetricKey?.primaryKey ?? '';
    },
    async texts(deviceId) {
      await until('the queue is empty', () => running?.remote.queue.messages === 0);
      return (await follower.read()).filter((event) => event.deviceId === deviceId).map(({ body }) => body.toString());
    },
    async sendCommand(deviceId, bodyText) {
      const { sequence } = await api.commands.send({ deviceId }, { bodyText });
      for (;;) {
        const { commands } = await api.commands.find({ deviceId }, { sequence });
        const outcome = commands[0]?.outcome;
        if (outcome !== undefined) return outcome === 'completed' ? 'complete' : 'reject';
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    async callMethod(deviceId, methodName, payload) {
      const { status, payload: answer } = await api.twins.invoke({ deviceId }, { methodName, payload });
      return { status, payload: answer };
    },
    setDesired: async (deviceId, desired) => void (await api.twins.update({ deviceId }, { properties: { desired } })),
    async reported(deviceId) {
      const { $metadata, $version, ...reported } = (await api.twins.get({ deviceId })).properties?.reported ?? {};
      return reported;
    },
    async giveFile(deviceId, name, bytes) {
      await api.files.put('hub', name, { body: once(bytes), bytes: bytes.length });
      const [{ error }] = await api.files.grant(name, [{ deviceId }], 3600);
      if (error !== undefined) throw new Error(`the file is not granted: ${error}`);
    },
    async uploaded(deviceId, name) {
      const pieces: Uint8Array[] = [];
      for await (const piece of (await api.files.get({ deviceId }, name)).body) pieces.push(Buffer.from(piece));
      return Buffer.concat(pieces);
    },
    disable: async (deviceId) => void (await api.devices.update(deviceId, { status: 'disabled' })),
    async stop() {
      await running?.stop();
      for (const deviceId of made) await api.devices.delete(deviceId);
      api.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
