/** What the registry says of devices, and the calls that screens make of it. */
import { api } from './api.ts';

export interface Identity {
  readonly deviceId: string;
  readonly moduleId?: string;
  readonly generationId: string;
  readonly etag: string;
  readonly status: 'enabled' | 'disabled';
  readonly statusReason: string | null;
  readonly statusUpdatedTime: string;
  readonly connectionState: 'Connected' | 'Disconnected';
  readonly connectionStateUpdatedTime: string;
  readonly lastActivityTime: string;
  readonly cloudToDeviceMessageCount: number;
  readonly authentication: {
    readonly type: 'sas' | 'selfSigned' | 'certificateAuthority' | 'none';
    readonly symmetricKey: { readonly primaryKey: string | null; readonly secondaryKey: string | null };
    readonly x509Thumbprint: { readonly primaryThumbprint: string | null; readonly secondaryThumbprint: string | null };
  };
  readonly capabilities?: { readonly iotEdge: boolean };
}

export const devicePath = (deviceId: string): string => `/devices/${encodeURIComponent(deviceId)}`;

/** What of a device is known without its identity. */
export type KnownDevice = Pick<
  Identity,
  'deviceId' | 'status' | 'connectionState' | 'connectionStateUpdatedTime' | 'cloudToDeviceMessageCount'
>;

/** From its twin: for a policy that may not read identities. */
export async function getKnownDevice(deviceId: string, signal?: AbortSignal): Promise<KnownDevice> {
  const { data } = await api<Omit<KnownDevice, 'connectionStateUpdatedTime'>>(
    'GET',
    `/twins/${encodeURIComponent(deviceId)}`,
    {
      ...(signal && { signal }),
    },
  );
  return { connectionStateUpdatedTime: '', ...data };
}

export async function getDevice(deviceId: string, signal?: AbortSignal): Promise<Identity> {
  return (await api<Identity>('GET', devicePath(deviceId), { ...(signal && { signal }) })).data;
}

/** A device with keys that the hub makes, or with what `draft` says. */
export async function createDevice(deviceId: string, draft: object = {}): Promise<Identity> {
  return (await api<Identity>('PUT', devicePath(deviceId), { body: { deviceId, ...draft } })).data;
}

/** Replaces it, if it is still the one that was read. */
export async function replaceDevice(device: Identity, changes: object): Promise<Identity> {
  const headers = { 'if-match': `"${device.etag}"` };
  return (await api<Identity>('PUT', devicePath(device.deviceId), { body: { ...device, ...changes }, headers })).data;
}

export async function deleteDevice(device: Identity): Promise<void> {
  await api('DELETE', devicePath(device.deviceId), { headers: { 'if-match': `"${device.etag}"` } });
}

export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly continuation: string | undefined;
}

/** One page of a query. */
export async function queryPage<Row>(
  query: string,
  options: { readonly size?: number; readonly continuation?: string | undefined; readonly signal?: AbortSignal } = {},
): Promise<Page<Row>> {
  const { size = 100, continuation, signal } = options;
  const { data, headers } = await api<readonly Row[]>('POST', '/devices/query', {
    body: { query },
    headers: {
      'x-ms-max-item-count': String(size),
      ...(continuation !== undefined && { 'x-ms-continuation': continuation }),
    },
    ...(signal && { signal }),
  });
  return { rows: data, continuation: headers.get('x-ms-continuation') ?? undefined };
}

/** A text in the query language. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
