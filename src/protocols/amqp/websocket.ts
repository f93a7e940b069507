import type { Hub } from '../../core/hub.ts';
import type { WebSockets } from '../shared/upgrade.ts';
import { webSockets } from '../shared/websocket.ts';
import { amqpConnections } from './connections.ts';

/** Where the SDKs of devices and back ends look, and those of Event Hubs (service reference 1.1). */
export const amqpWebSocketPaths = ['/$iothub/websocket', '/$servicebus/websocket'] as const;

/**
 * AMQP 1.0 over the WebSockets of the HTTPS port.
 * @param redirectPort port of the AMQP door with TLS, where old clients are sent
 */
export function amqpWebSockets(hub: Hub, path: (typeof amqpWebSocketPaths)[number], redirectPort: number): WebSockets {
  const connections = amqpConnections(hub, () => redirectPort);
  return webSockets(connections, { protocol: 'amqp-ws', path, subprotocol: 'amqpwsb10' });
}
