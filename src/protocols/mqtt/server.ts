import type { Hub } from '../../core/hub.ts';
import type { Door } from '../shared/door.ts';
import { listen } from '../shared/listener.ts';
import { peerCertificate } from '../shared/peer-certificate.ts';
import { mqttConnections } from './connections.ts';
import type { MqttDoorOptions } from './options.ts';

/**
 * Opens a port for MQTT 3.1.1 devices, over TLS or plain.
 * @throws Error whose message names the setting and what to do.
 */
export async function openMqttDoor(hub: Hub, options: MqttDoorOptions): Promise<Door> {
  const connections = mqttConnections(hub);
  const listener = await listen({
    ...options,
    sharedReads: true,
    log: hub.log,
    accept: (socket, proved, peer) =>
      connections.accept(socket, { protocol: 'mqtt', peer, certificate: () => peerCertificate(socket), proved }),
  });
  return {
    port: listener.port,
    stopAccepting: () => listener.close(),
    drain: (withinMs) => connections.drain(withinMs),
    connections: () => connections.count(),
  };
}
