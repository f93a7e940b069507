/** Devices of LoRaWAN networks, by the webhooks of their servers. `docs/lorawan.md` */
import type { AdapterDefinition, Host } from '../../gateway/index.ts';
import { postJson } from './api-client.ts';
import { Devices } from './devices.ts';
import type { Send } from './downlinks.ts';
import { callFor } from './network.ts';
import { type NetworkSettings, type Settings, settingsSchema } from './settings.ts';
import { createWebhooks, type Served } from './webhook.ts';

const lorawan: AdapterDefinition<Settings> = {
  name: 'lorawan',
  apiVersion: 1,
  summary: 'Devices of LoRaWAN networks, by the webhooks of The Things Stack and ChirpStack; commands become downlinks',
  settings: settingsSchema,
  create(host, settings) {
    const networks = new Map<string, Served>();
    const stopping = new AbortController();
    return {
      async start() {
        for (const network of settings.networks) {
          networks.set(network.name, { settings: network, devices: new Devices(host, network, senderFor(network)) });
        }
        const webhooks = createWebhooks(host, networks);
        const { port, connectionsMax, tls } = settings;
        // One address alone cannot keep the servers of others out.
        const connectionsPerAddressMax = settings.connectionsPerAddressMax ?? Math.ceil(connectionsMax / 2);
        const listening = await host.listeners.tcp(
          {
            ...{ port, connectionsMax, connectionsPerAddressMax, silenceSeconds: 120 },
            ...(settings.host !== undefined && { host: settings.host }),
            ...(tls !== undefined && { tls: { certificate: tls } }),
          },
          (connection) => void webhooks.emit('connection', connection),
        );
        host.log.info('LoRaWAN servers may send webhooks', {
          host: listening.host,
          port: listening.port,
          tls: tls !== undefined,
        });
        for (const { devices } of networks.values()) void reopen(host, devices, stopping.signal);
      },
      async stop() {
        stopping.abort();
        await Promise.all([...networks.values()].map(({ devices }) => devices.close()));
      },
    };
  },
};

async function reopen(host: Host, devices: Devices, signal: AbortSignal): Promise<void> {
  try {
    await devices.reopen(signal);
  } catch (error) {
    host.log.warn('Devices that were seen before could not be opened again: commands wait for their next uplinks', {
      reason: String(error),
    });
  }
}

/** The way down, where the operator has said where the server's API is. */
function senderFor({ downlink, kind }: NetworkSettings): Send | undefined {
  if (downlink === undefined) return undefined;
  const { token, ca } = downlink;
  const base = downlink.url.replace(/\/+$/, '');
  return async (message, signal) => {
    const call = callFor(kind, downlink, message);
    return call.idOf(await postJson(`${base}${call.path}`, call.headers(token), call.body, ca, signal));
  };
}

export default lorawan;
