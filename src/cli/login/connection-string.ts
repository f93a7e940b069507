import { ConnectionStringError, isBase64, parseConnectionString, splitHostPort } from '../../api/connection-string.ts';
import { Failure } from '../failure.ts';

/** The families of connection strings that back ends and devices hold (service reference 1.5, 5.1; device 1.1). */
export interface Credential {
  /** Host without a port. */
  readonly host: string;
  /** The port that stood behind the host, if one did. */
  readonly port: number | undefined;
  /** Base64. */
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
 * Reads a connection string of a policy, a device or an event hub.
 * @param source Where it was found, for messages. No value of the text appears in one.
 * @throws Failure naming the part that is missing or wrong.
 */
export function readCredential(text: string, source: string): Credential {
  const parts = partsOf(text, source);
  const address = parts.get('hostname') ?? withoutScheme(parts.get('endpoint'));
  if (address === undefined || address === '') throw wrong(source, 'HostName (or Endpoint) is missing');
  const { host, port } = splitHostPort(address);
  if (!/^[A-Za-z0-9_.:-]+$/.test(host)) throw wrong(source, 'the host is not a name or an address');
  if (port !== undefined && (port < 1 || port > 65_535)) throw wrong(source, 'the port is not between 1 and 65535');
  const key = parts.get('sharedaccesskey');
  if (key === undefined) throw wrong(source, 'SharedAccessKey is missing');
  if (!isBase64(key)) throw wrong(source, 'SharedAccessKey is not base64');
  const policyName = parts.get('sharedaccesskeyname');
  const deviceId = parts.get('deviceid');
  if (policyName === undefined && deviceId === undefined) {
    throw wrong(source, 'SharedAccessKeyName (a policy) or DeviceId (a device) is missing');
  }
  return {
    host,
    port,
    key,
    policyName,
    deviceId,
    moduleId: parts.get('moduleid'),
    entityPath: parts.get('entitypath'),
    emulator: parts.get('usedevelopmentemulator')?.toLowerCase() === 'true',
  };
}

/** The widest resource that the credential's key can sign for, before encoding. */
export function resourceOf({ host, deviceId, moduleId }: Credential): string {
  if (deviceId === undefined) return host;
  return moduleId === undefined ? `${host}/devices/${deviceId}` : `${host}/devices/${deviceId}/modules/${moduleId}`;
}

function partsOf(text: string, source: string): ReadonlyMap<string, string> {
  try {
    return parseConnectionString(text);
  } catch (error) {
    if (!(error instanceof ConnectionStringError)) throw error;
    throw new Failure(`${source}: ${error.message}`, { cause: error, hint: form });
  }
}

function withoutScheme(endpoint: string | undefined): string | undefined {
  return endpoint?.replace(/^[a-z]+:\/\//i, '').replace(/\/.*$/, '');
}

const form = 'It looks like HostName=…;SharedAccessKeyName=…;SharedAccessKey=… — mooring serve prints it at its start.';

function wrong(source: string, what: string): Failure {
  return new Failure(`The connection string in ${source} cannot be used: ${what}.`, { hint: form });
}
