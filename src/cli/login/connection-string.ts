import { Failure } from '../failure.ts';

/** The two families of connection strings that back ends and devices hold (service reference 1.5, 5.1; device 1.1). */
export interface ConnectionString {
  /** Host without a port. */
  readonly host: string;
  /** The port that stood behind the host, if one did. */
  readonly port: number | undefined;
  readonly key: string;
  /** Set for a policy of the hub. */
  readonly policyName: string | undefined;
  /** Set for a device or module. */
  readonly deviceId: string | undefined;
  readonly moduleId: string | undefined;
  /** Event hub of an `Endpoint=sb://` string. */
  readonly entityPath: string | undefined;
  /** Plain AMQP on a loopback port. */
  readonly emulator: boolean;
}

/**
 * Reads a connection string. Pairs are split at their first `=`, because keys end in it; names in any case.
 * @param source Where it was found, for messages. The text itself never appears in one.
 * @throws Failure naming the part that is missing or wrong.
 */
export function parseConnectionString(text: string, source: string): ConnectionString {
  const pairs = new Map<string, string>();
  for (const part of text.trim().split(';')) {
    if (part.trim() === '') continue;
    const equals = part.indexOf('=');
    if (equals < 1) throw wrong(source, 'a part of it is not of the form Name=value');
    pairs.set(part.slice(0, equals).trim().toLowerCase(), part.slice(equals + 1).trim());
  }
  const address = pairs.get('hostname') ?? withoutScheme(pairs.get('endpoint'));
  if (address === undefined || address === '') throw wrong(source, 'HostName (or Endpoint) is missing');
  const key = pairs.get('sharedaccesskey');
  if (key === undefined || key === '') throw wrong(source, 'SharedAccessKey is missing');
  const policyName = pairs.get('sharedaccesskeyname');
  const deviceId = pairs.get('deviceid');
  if (policyName === undefined && deviceId === undefined) {
    throw wrong(source, 'SharedAccessKeyName (a policy) or DeviceId (a device) is missing');
  }
  const { host, port } = splitHost(address, source);
  return {
    host,
    port,
    key,
    policyName,
    deviceId,
    moduleId: pairs.get('moduleid'),
    entityPath: pairs.get('entitypath'),
    emulator: pairs.get('usedevelopmentemulator')?.toLowerCase() === 'true',
  };
}

function withoutScheme(endpoint: string | undefined): string | undefined {
  return endpoint?.replace(/^[a-z]+:\/\//i, '').replace(/\/.*$/, '');
}

function splitHost(address: string, source: string): { host: string; port: number | undefined } {
  const match = /^(\[[0-9a-f:.]+\]|[^:/\s]+)(?::(\d{1,5}))?$/i.exec(address);
  if (match === null) throw wrong(source, 'the host is not a name or an address');
  const port = match[2] === undefined ? undefined : Number(match[2]);
  if (port !== undefined && (port < 1 || port > 65_535)) throw wrong(source, 'the port is not between 1 and 65535');
  return { host: match[1].replace(/^\[|\]$/g, ''), port };
}

function wrong(source: string, what: string): Failure {
  return new Failure(`The connection string in ${source} cannot be used: ${what}.`, {
    hint: 'It looks like HostName=…;SharedAccessKeyName=…;SharedAccessKey=… — mooring serve prints it at its start.',
  });
}
