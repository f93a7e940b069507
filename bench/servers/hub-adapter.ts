/** The hub with the adapter mqtt-topics: the same load as at its own MQTT door, at the adapter's port. */
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
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
      const config = path.join(options.directory, 'config.json');
      writeFileSync(config, JSON.stringify({ adapters: [adapter] }));
      const hub = await startHub({ ...options, flags: ['--config', config] });
      await opened(port);
      const logins = hub.logins.map(({ clientId, key }) => ({
        ...{ clientId, username: clientId, password: key },
        topic: `bench/${clientId}/message`,
      }));
      return { ...hub, port, logins, ca: undefined, cpuSeconds: () => processTreeCpuSeconds(hub.pid) };
    },
  };
}

/** The hub is ready before its adapters are. @throws Error when nobody listens within half a minute */
async function opened(port: number): Promise<void> {
  for (const end = performance.now() + 30_000; performance.now() < end; ) {
    const socket = net.connect(port, '127.0.0.1');
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.destroy();
    if (isOpen) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the adapter does not listen');
}
