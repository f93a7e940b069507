import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import net from 'node:net';
import { type NodesHub, startHub, startNodesHub, type TestHub } from '../../test/drivers/hub.ts';
import { Client } from './client.ts';

/** The SDKs know no other port for most of what they do (device reference 1.2, service reference 12). */
const STANDARD_PORTS = { mqtts: 8883, amqps: 5671, https: 443, amqp: 5672 } as const;

/**
 * Why the stock SDKs cannot be tested on this machine; undefined = they can. For the `skip` of a whole file: REST of
 * azure-iothub knows port 443 and no other, and not every user may bind it.
 */
export async function whyNot(): Promise<string | undefined> {
  for (const [name, port] of Object.entries(STANDARD_PORTS)) {
    const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
      const server = net.createServer();
      server.once('error', resolve);
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(undefined)));
    });
    if (error === undefined) continue;
    const why = `NOT TESTED: ${name} port ${port} cannot be bound (${error.code}); the stock SDKs need it`;
    process.stderr.write(`${why}\n`);
    return why;
  }
  return undefined;
}

/** A hub of its own on the standard ports. */
export function startStockHub(
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<TestHub> {
  return startHub({ args: [...standardPorts(), ...args], env });
}

/** A hub of so many nodes behind a balancer on the standard ports. */
export function startStockNodes(count: number): Promise<NodesHub> {
  return startNodesHub(count, standardPorts());
}

function standardPorts(): readonly string[] {
  return Object.entries(STANDARD_PORTS).flatMap(([name, port]) => [`--${name}-port`, String(port)]);
}

/** azure-iothub, with the policy of that name. */
export async function openRegistry(hub: TestHub, connectionString?: string): Promise<Registry> {
  const client = Client.start('registry.mjs', hub.endpoints.caFile, {
    connectionString: connectionString ?? hub.endpoints.connectionStrings.iothubowner,
  });
  await client.next('ready');
  return new Registry(client);
}

export interface Device {
  readonly deviceId: string;
  readonly key: string;
  readonly generationId: string;
  readonly connectionString: string;
}

/** The methods of azure-iothub's Registry by their own names, run in the client's process. */
export class Registry {
  readonly client: Client;

  constructor(client: Client) {
    this.client = client;
  }

  /** The body of the answer. @throws Error with the SDK's own error name and message. */
  // biome-ignore lint/suspicious/noExplicitAny: the SDK's bodies, looked at by the tests
  async call(method: string, ...args: readonly unknown[]): Promise<any> {
    const { value, error } = await this.client.call('registry', method, ...args);
    if (error !== undefined) throw Object.assign(new Error(error.message), { name: error.name });
    return value.body;
  }

  /** Creates devices, a hundred per bulk request, and reads back the keys that the hub made. */
  async createDevices(hub: TestHub, ids: readonly string[]): Promise<readonly Device[]> {
    for (let at = 0; at < ids.length; at += 100) {
      const result = await this.call(
        'addDevices',
        ids.slice(at, at + 100).map((deviceId) => ({ deviceId })),
      );
      assert.equal(result.isSuccessful, true, JSON.stringify(result.errors));
    }
    const devices: Device[] = [];
    for (const id of ids) devices.push(deviceOf(hub, await this.call('get', id)));
    return devices;
  }

  async createDevice(hub: TestHub, deviceId: string): Promise<Device> {
    return deviceOf(hub, await this.call('create', { deviceId }));
  }

  stop(): Promise<void> {
    return this.client.stop();
  }
}

interface DeviceBody {
  readonly deviceId: string;
  readonly generationId: string;
  readonly authentication: { readonly symmetricKey: { readonly primaryKey: string } };
}

function deviceOf(hub: TestHub, body: DeviceBody): Device {
  const key = body.authentication.symmetricKey.primaryKey;
  const { deviceId, generationId } = body;
  const connectionString = `HostName=${hub.endpoints.hostName};DeviceId=${deviceId};SharedAccessKey=${key}`;
  return { deviceId, key, generationId, connectionString };
}

/** A SAS token (device reference 1.5), right or wrong as the test wants; `expires` in seconds since 1970. */
export function sasToken(resource: string, key: string, expires: number, policyName?: string): string {
  const sr = encodeURIComponent(resource);
  const signature = createHmac('sha256', Buffer.from(key, 'base64')).update(`${sr}\n${expires}`).digest('base64');
  const policy = policyName === undefined ? '' : `&skn=${policyName}`;
  return `SharedAccessSignature sr=${sr}&sig=${encodeURIComponent(signature)}&se=${expires}${policy}`;
}
