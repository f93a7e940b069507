/** What `serve` prints when it has started: for the person who sees the hub for the first time. */
import type { Endpoints } from '../api/endpoints.ts';
import type { Policy } from '../core/identity/types.ts';
import { connectionStrings } from './endpoints.ts';

export interface GreetingFacts {
  readonly endpoints: Endpoints;
  /** The name that other machines use, where one was given. */
  readonly publicName: string | undefined;
  readonly policies: readonly Policy[];
  readonly dataDir: string;
  readonly endpointsFile: string;
  /** Opens the portal once; absent = there is none. */
  readonly portalCode?: string;
  /** Whether keys may be shown. */
  readonly showConnectionStrings: boolean;
  /** What the user should know of this start, e.g. that 443 could not be bound. */
  readonly notices: readonly string[];
}

export function greeting(facts: GreetingFacts): string {
  const { endpoints, notices } = facts;
  const parts = [
    `Mooring hub "${endpoints.hubName}", data in ${facts.dataDir}`,
    ports(endpoints),
    ...portal(facts),
    facts.showConnectionStrings ? strings(facts) : `Connection strings: ${facts.endpointsFile}`,
    `Clients must trust the hub's certificate authority:\n  export NODE_EXTRA_CA_CERTS=${endpoints.caFile}`,
    ...notices,
  ];
  return `${parts.join('\n\n')}\n\n`;
}

/** The link holds a code that gives every right, once: it is shown where keys are. */
function portal({ endpoints, portalCode, showConnectionStrings }: GreetingFacts): readonly string[] {
  const { portalUrl } = endpoints;
  if (portalUrl === null || portalUrl === undefined) return [];
  if (portalCode === undefined || !showConnectionStrings) {
    return [`Portal: ${portalUrl} (mooring portal prints a link that signs in)`];
  }
  return [
    'Portal: open this link once, within an hour, to sign in with every right (mooring portal prints a new one)\n' +
      `  ${portalUrl}#code=${portalCode}`,
  ];
}

function ports({ hostName, ports }: Endpoints): string {
  const host = hostName.includes(':') ? `[${hostName}]` : hostName;
  const rows: readonly (readonly [string, number | null, string])[] = [
    ['mqtts', ports.mqtts, 'devices'],
    ['amqps', ports.amqps, 'back ends and devices'],
    ['https', ports.https, 'REST API, devices, WebSockets'],
    ['admin', ports.admin, `http://${host}:${ports.admin}`],
    ['amqp', ports.amqp, 'plain, this machine only: Event Hubs SDKs with UseDevelopmentEmulator=true'],
    ['mqtt', ports.mqtt, 'plain, this machine only'],
  ];
  return rows
    .filter(([, port]) => port !== null)
    .map(([name, port, use]) => `  ${name.padEnd(5)}  ${String(port).padStart(5)}  ${use}`)
    .join('\n');
}

function strings({ endpoints, publicName, policies, endpointsFile }: GreetingFacts): string {
  const under = (hostName: string) => connectionStrings(endpoints.hubName, hostName, endpoints.ports, policies);
  const shown = under(publicName ?? endpoints.hostName);
  const dotted = under('127.0.0.1');
  const lines = [
    `Connection strings (they hold keys; all of them stand in ${endpointsFile})`,
    '  Back end, everything allowed',
    `    ${shown.iothubowner}`,
  ];
  if (endpoints.ports.amqps !== null) lines.push('  Telemetry, Event Hubs SDKs', `    ${shown.eventHubs}`);
  if (endpoints.ports.amqp !== null) {
    lines.push('  Telemetry from this machine, without TLS', `    ${endpoints.connectionStrings.eventHubsEmulator}`);
  }
  if (endpoints.hostName === 'localhost') {
    lines.push(
      '  The Java and C SDKs refuse a host name without a dot; for them',
      `    ${dotted.iothubowner}`,
      `    ${dotted.eventHubs}`,
    );
  }
  return lines.join('\n');
}
