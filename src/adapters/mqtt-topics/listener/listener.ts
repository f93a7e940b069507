/** A port of its own for MQTT clients that know nothing of the hub. */
import { limits } from '../../../base/limits.ts';
import type { Adapter, Host } from '../../../gateway/index.ts';
import { outcomes } from '../dialogue.ts';
import type { Mapping } from '../rules.ts';
import type { ListenSettings } from '../settings.ts';
import { ListenerConnection, type Shared } from './connection.ts';
import { Logins } from './logins.ts';
import { Speakers } from './speakers.ts';

export function createListener(host: Host, settings: ListenSettings, mapping: Mapping, idleSeconds: number): Adapter {
  const open = new Set<ListenerConnection>();
  let stopPulse: (() => void) | undefined;

  const pulse = (): void => {
    stopPulse = host.clock.after(limits.mqttTopicsPulseMs, () => {
      const now = host.clock.monotonic();
      for (const connection of open) connection.pulse(now);
      host.metrics.gauge('connections', open.size);
      pulse();
    });
  };

  return {
    async start() {
      const shared: Shared = {
        host,
        logins: new Logins(settings),
        speakers: new Speakers(host, mapping, idleSeconds),
        clients: new Map(),
      };
      const { tls, clientCertificates, port, connectionsMax, connectionsPerAddressMax } = settings;
      const certificate = tls === undefined ? undefined : { certificate: tls, clientCertificates };
      const listening = await host.listeners.tcp(
        {
          port,
          connectionsMax,
          connectionsPerAddressMax,
          ...(settings.host !== undefined && { host: settings.host }),
          ...(certificate && { tls: certificate }),
        },
        async (socket) => {
          const connection = new ListenerConnection(shared, socket);
          open.add(connection);
          await connection.run();
          open.delete(connection);
        },
      );
      host.log.info('MQTT devices may connect', { host: listening.host, port: listening.port, tls: tls !== undefined });
      pulse();
    },
    async stop(grace) {
      stopPulse?.();
      for (const connection of open) connection.end({ outcome: outcomes.serverShuttingDown, why: 'the adapter stops' });
      while (open.size > 0 && !grace.aborted) await new Promise<void>((resolve) => host.clock.after(20, resolve));
    },
  };
}
