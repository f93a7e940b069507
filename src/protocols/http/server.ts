/** The HTTPS port: the management API, and WebSockets of other protocols by the table that compose hands over. */
import type { Hub } from '../../core/hub.ts';
import { listen } from '../shared/listener.ts';
import { httpConnections } from './connections.ts';
import type { HttpsDoor, HttpsDoorOptions } from './options.ts';

/** Opens the HTTPS port. @throws Error naming the setting, when the port cannot be opened. */
export async function openHttpsDoor(hub: Hub, options: HttpsDoorOptions): Promise<HttpsDoor> {
  const connections = await httpConnections(hub, options);
  const listener = await listen({
    name: 'httpsPort',
    port: options.port,
    addresses: options.addresses,
    tls: options.tls,
    log: hub.log,
    gate: options.gate,
    failed: options.failed,
    accept: (socket, proved) => connections.accept(socket, proved),
  });
  return {
    port: listener.port,
    stopAccepting: () => listener.close(),
    drain: (withinMs) => connections.drain(withinMs),
    connections: () => connections.count(),
    openApi: () => connections.openApi(),
  };
}
