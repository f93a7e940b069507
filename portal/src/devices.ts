/** What the registry says of devices, and the calls that screens make of it. */
import { api, apiLines } from './api.ts';

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

export interface BulkResult {
  readonly isSuccessful: boolean;
  readonly errors: readonly { readonly deviceId: string; readonly errorCode: number; readonly errorStatus: string }[];
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

export interface BulkItem {
  readonly id: string;
  readonly importMode: 'create' | 'updateTwin';
  readonly tags?: object;
}

/** What is done with many devices; everything else of them stays as it is. */
export type ManyAction = 'enable' | 'disable' | 'delete';

/** A line of the progress of such a change: `failures` since the line before. */
export interface ManyProgress {
  readonly done: number;
  readonly failed: number;
  readonly failures: readonly { readonly deviceId: string; readonly message: string }[];
  readonly ended?: true;
  /** Why it has ended before its end. */
  readonly code?: string;
  readonly message?: string;
}

/** At most this many ids are taken by one request of a change of many. */
export const MANY_MAX = 10_000;

/** Up to `MANY_MAX` devices. @throws Refusal */
export const changeMany = (
  action: ManyAction,
  ids: readonly string[],
  signal: AbortSignal,
  hear: (progress: ManyProgress) => void,
): Promise<void> => apiLines<ManyProgress>('/mooring/v1/devices/bulk', { action, ids }, signal, hear);

/** At most this many items are taken by one request. */
export const BULK_MAX = 100;

/** Up to `BULK_MAX` changes. What failed is in the result. */
export async function bulk(items: readonly BulkItem[]): Promise<BulkResult> {
  return (await api<BulkResult>('POST', '/devices', { body: items })).data;
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
