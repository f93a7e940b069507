import type { Hub } from '../../core/hub.ts';
import type { WebSockets } from '../shared/upgrade.ts';
import { webSockets } from '../shared/websocket.ts';
import type { DeliveryTurns } from './back-ends/delivery-turns.ts';
import { amqpConnections } from './connections.ts';

/** Where the SDKs of devices and back ends look, and those of Event Hubs (service reference 1.1). */
export const amqpWebSocketPaths = ['/$iothub/websocket', '/$servicebus/websocket'] as const;

/**
 * AMQP 1.0 over the WebSockets of the HTTPS port. Sub-protocols: `AMQPWSB10` of the SDKs, and the registered name `amqp`,
 * which the application chooses itself with Go's SDK.
 * @param redirectPort port of the AMQP door with TLS, where old clients are sent
 * @param turns of all readers of this thread
 */
export function amqpWebSockets(
  hub: Hub,
  path: (typeof amqpWebSocketPaths)[number],
  redirectPort: number,
  turns?: DeliveryTurns,
): WebSockets {
  const connections = amqpConnections(hub, () => redirectPort, turns);
  return webSockets(connections, { protocol: 'amqp-ws', path, subprotocols: ['amqpwsb10', 'amqp'] });
}
