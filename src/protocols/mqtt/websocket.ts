import type { Hub } from '../../core/hub.ts';
import type { WebSockets } from '../shared/upgrade.ts';
import { webSockets } from '../shared/websocket.ts';
import { mqttConnections } from './connections.ts';

/** MQTT 3.1.1 over the WebSockets of the HTTPS port (device reference 2.10). */
export function mqttWebSockets(hub: Hub): WebSockets {
  return webSockets(mqttConnections(hub), {
    protocol: 'mqtt-ws',
    path: '/$iothub/websocket',
    subprotocols: ['mqtt'],
  });
}
