import type { Device } from '../../api/identities.ts';
import { type Column, facts, paint, printable, table } from '../output/table.ts';
import { localTime } from '../output/values.ts';
import { print, type Terminal } from '../terminal.ts';

/** Devices under each other, without their keys. */
export function deviceTable(devices: readonly Device[], terminal: Terminal): string {
  return table(terminal.out, columns(terminal), devices);
}

/** A device as `--json` shows it where keys were not asked for. */
export function withoutKeys(device: Device): object {
  const { symmetricKey: _, ...authentication } = device.authentication;
  return { ...device, authentication };
}

/** Prints one device, as facts or as JSON; its keys only where they were asked for. */
export async function printDevice(device: Device, terminal: Terminal, keys = false): Promise<void> {
  if (terminal.json) {
    const shown = keys ? device : withoutKeys(device);
    return print(terminal, JSON.stringify(shown, undefined, 2));
  }
  const { symmetricKey, x509Thumbprint, type } = device.authentication;
  const reason = device.statusReason === null ? '' : ` (${printable(device.statusReason)})`;
  const entries: (readonly [string, string | undefined])[] = [
    ['device', printable(device.deviceId)],
    ['status', device.status + reason],
    ['status since', device.statusUpdatedTime.startsWith('0001-') ? undefined : moment(device.statusUpdatedTime)],
    ['connection', device.connectionState.toLowerCase()],
    ['connection since', moment(device.connectionStateUpdatedTime)],
    ['last activity', moment(device.lastActivityTime)],
    ['commands queued', String(device.cloudToDeviceMessageCount)],
    ['authentication', type],
    ['thumbprint', x509Thumbprint.primaryThumbprint ?? undefined],
    ['second thumbprint', x509Thumbprint.secondaryThumbprint ?? undefined],
    ['edge', device.capabilities.iotEdge ? 'yes' : undefined],
    ['generation', device.generationId],
    ['etag', device.etag],
  ];
  if (keys) {
    entries.push(['primary key', symmetricKey.primaryKey ?? undefined]);
    entries.push(['secondary key', symmetricKey.secondaryKey ?? undefined]);
  }
  return print(terminal, facts(terminal.out, entries));
}

const columns = ({ out }: Terminal): readonly Column<Device>[] => [
  { title: 'device', cell: (device) => printable(device.deviceId) },
  { title: 'status', cell: ({ status }) => (status === 'enabled' ? status : paint(out, 'yellow', status)) },
  {
    title: 'connection',
    cell: ({ connectionState }) =>
      connectionState === 'Connected' ? paint(out, 'green', 'connected') : paint(out, 'dim', 'disconnected'),
  },
  { title: 'last activity', cell: ({ lastActivityTime }) => moment(lastActivityTime) },
  { title: 'auth', cell: ({ authentication }) => authentication.type },
  { title: 'commands', align: 'right', cell: ({ cloudToDeviceMessageCount }) => String(cloudToDeviceMessageCount) },
];

/** A time of the API; never happened = `-`. */
function moment(time: string): string {
  if (time.startsWith('0001-')) return '-';
  const ms = Date.parse(/[zZ]|[+-]\d\d:\d\d$/.test(time) ? time : `${time}Z`);
  return Number.isNaN(ms) ? printable(time) : localTime(ms);
}
