/** What a user needs in order to connect: `endpoints.json` for programs, the start's text for people. */
import type { Endpoints } from '../api/endpoints.ts';
import type { Policy } from '../core/identity/types.ts';

const AMQPS_PORT = 5671;
const AMQP_PORT = 5672;

/** @param hostName the name for clients on this machine */
export function describeEndpoints(
  hubName: string,
  hostName: string,
  ports: Endpoints['ports'],
  caFile: string,
  portalUrl: string | null,
  policies: readonly Policy[],
): Endpoints {
  return {
    ...{ hubName, hostName, ports, caFile, portalUrl },
    connectionStrings: connectionStrings(hubName, hostName, ports, policies),
  };
}

/** Where browsers find the portal. @param port of the admin port @param secure it listens beyond this machine, so by TLS */
export function portalUrlOf(hostName: string, port: number, secure: boolean): string {
  const host = hostName.includes(':') ? `[${hostName}]` : hostName;
  return `${secure ? 'https' : 'http'}://${host}:${port}/`;
}

/**
 * The connection strings for one host name. Those of the hub carry no port, because the SDKs take one for all of their
 * protocols at once; those of the event endpoint carry theirs where it is not the protocol's own (service reference 12).
 */
export function connectionStrings(
  hubName: string,
  hostName: string,
  ports: Endpoints['ports'],
  policies: readonly Policy[],
): Endpoints['connectionStrings'] {
  const keyOf = (name: string): string => {
    const policy = policies.find((candidate) => candidate.name === name);
    if (policy === undefined) throw new Error(`the default policy ${name} is missing`);
    return policy.primaryKey;
  };
  const host = hostName.includes(':') ? `[${hostName}]` : hostName;
  const hub = (policy: string): string =>
    `HostName=${host};SharedAccessKeyName=${policy};SharedAccessKey=${keyOf(policy)}`;
  const events = (port: number | null, usual: number, entity: string, name = host): string => {
    const place = port === null || port === usual ? name : `${name}:${port}`;
    return `Endpoint=sb://${place}/;SharedAccessKeyName=service;SharedAccessKey=${keyOf('service')};EntityPath=${entity}`;
  };
  // The plain port listens on loopback, wherever the others do.
  const emulator = (entity: string): string =>
    `${events(ports.amqp, AMQP_PORT, entity, 'localhost')};UseDevelopmentEmulator=true`;
  const monitoring = monitoringName(hubName);
  return {
    iothubowner: hub('iothubowner'),
    service: hub('service'),
    device: hub('device'),
    registryRead: hub('registryRead'),
    registryReadWrite: hub('registryReadWrite'),
    eventHubs: events(ports.amqps, AMQPS_PORT, hubName),
    eventHubsEmulator: emulator(hubName),
    monitoring: events(ports.amqps, AMQPS_PORT, monitoring),
    monitoringEmulator: emulator(monitoring),
  };
}

/** Name of the event hub that tells of the hub itself. */
export const monitoringName = (hubName: string): string => `${hubName}-monitoring`;
