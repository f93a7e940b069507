/** The hub with the adapter mqtt-topics: the same load as at its own MQTT door, at the adapter's port. */
import { processTreeCpuSeconds } from '../process-facts.ts';
import { startHub } from './hub.ts';
import { freePort, type RunningServer, type ServerKind } from './server.ts';

/** @param run Where the adapter runs: in a process of its own, or beside the hub's own loop. CPU time is that of all processes */
export function hubWithMqttTopics(run: 'process' | 'hub'): ServerKind {
  return {
    name: run === 'process' ? 'mqtt-topics' : 'mqtt-topics, in hub',
    acknowledges: 'after fdatasync of the hub',
    async start(options): Promise<RunningServer> {
      const port = await freePort();
      const { connections } = options;
      const listen = {
        port,
        plain: true,
        connectionsMax: connections + 10,
        connectionsPerAddressMax: connections + 10,
      };
      const adapter = {
        ...{ adapter: 'mqtt-topics', run, messagesPerSecond: 10_000_000 },
        settings: { listen, inbound: [{ topic: 'bench/{device}/message', to: 'telemetry', body: 'bytes' }] },
      };
      const hub = await startHub({ ...options, flags: ['--adapters', JSON.stringify([adapter])] });
      const logins = hub.logins.map(({ clientId, key }) => ({
        ...{ clientId, username: clientId, password: key },
        topic: `bench/${clientId}/message`,
      }));
      return { ...hub, port, logins, ca: undefined, cpuSeconds: () => processTreeCpuSeconds(hub.pid) };
    },
  };
}
