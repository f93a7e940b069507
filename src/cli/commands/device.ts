import { type Command, Option } from 'commander';
import type { DeviceDraft } from '../../api/identities.ts';
import { limits } from '../../base/limits.ts';
import { Failure } from '../failure.ts';
import type { Login } from '../login/login.ts';
import { count } from '../output/values.ts';
import { withApi } from '../registry/with-api.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { addDeviceBulkCommands } from './device-bulk.ts';
import { deviceTable, printDevice, withoutKeys } from './device-view.ts';
import { type CommonOptions, examples, loginFrom, wholeNumber, withLogin } from './options.ts';

interface ListOptions extends CommonOptions {
  readonly top: number;
  readonly status?: 'enabled' | 'disabled';
  readonly connected?: boolean;
}

interface ShowOptions extends CommonOptions {
  readonly keys?: boolean;
}

export function addDeviceCommands(program: Command, terminal: Terminal): void {
  const device = program
    .command('device')
    .summary('the identity registry')
    .description('Devices in the identity registry.');
  addDeviceBulkCommands(device, terminal);

  const list = withLogin(device.command('list'))
    .description('Lists devices in order of id, without their keys.')
    .option('--top <n>', 'how many at most', wholeNumber(1, limits.listPageMax), limits.listPageMax)
    .addOption(new Option('--status <status>', 'only those').choices(['enabled', 'disabled']))
    .option('--connected', 'only those that are connected')
    .action((options: ListOptions) => listDevices(loginFrom(options, terminal), options, terminal));
  examples(list, ['mooring device list', 'mooring device list --connected --json | jq -r ".[].deviceId"']);

  const show = withLogin(device.command('show'))
    .argument('<id>')
    .description('Shows one device; its keys only when asked for.')
    .option('--keys', 'show its keys too')
    .action((id: string, options: ShowOptions) => showDevice(id, loginFrom(options, terminal), options, terminal));
  examples(show, ['mooring device show dev-01', 'mooring device show dev-01 --keys --json']);

  withLogin(device.command('enable'))
    .argument('<id>')
    .description('Lets a device in again.')
    .action((id: string, options: CommonOptions) => setStatus(id, 'enabled', undefined, options, terminal));

  const disable = withLogin(device.command('disable'))
    .argument('<id>')
    .description('Shuts a device out, and cuts its connection at once. Its identity and keys stay.')
    .option('--reason <text>', `kept with the device, at most ${limits.statusReasonCharsMax} characters`)
    .action((id: string, options: CommonOptions & { reason?: string }) =>
      setStatus(id, 'disabled', options.reason, options, terminal),
    );
  examples(disable, ['mooring device disable dev-01 --reason "stolen, 12 May"']);

  const connectionString = withLogin(device.command('connection-string'))
    .argument('<id>')
    .description('Prints the connection string with which a device’s SDK logs in. It holds a key.')
    .option('--secondary', 'with the secondary key')
    .option('--host <name>', 'another name of the hub, as the device reaches it')
    .action((id: string, options: CommonOptions & { secondary?: boolean; host?: string }) =>
      connectionStringOf(id, loginFrom(options, terminal), options, terminal),
    );
  examples(connectionString, ['mooring device connection-string dev-01 > dev-01.txt']);
}

async function listDevices(login: Login, options: ListOptions, terminal: Terminal): Promise<void> {
  const { all, total } = await withApi(login, ['registryRead'], async (api) => ({
    all: await api.devices.list({ top: options.top }),
    total: (await api.statistics.devices()).totalDeviceCount,
  }));
  const shown = all.filter(
    (device) =>
      (options.status === undefined || device.status === options.status) &&
      (options.connected !== true || device.connectionState === 'Connected'),
  );
  if (terminal.json) {
    await print(terminal, JSON.stringify(shown.map(withoutKeys), undefined, 2));
  } else if (total === 0) {
    note(terminal, 'There are no devices yet. Create one with: mooring device create ID');
  } else if (shown.length === 0) {
    note(terminal, 'No device is like that.');
  } else {
    await print(terminal, deviceTable(shown, terminal));
  }
  if (total > all.length) {
    note(terminal, `These are the first ${count(all.length)} of ${count(total)} devices.`);
  }
}

async function showDevice(id: string, login: Login, options: ShowOptions, terminal: Terminal): Promise<void> {
  const device = await withApi(login, ['registryRead'], (api) => api.devices.get(id));
  await printDevice(device, terminal, options.keys);
}

async function setStatus(
  id: string,
  status: 'enabled' | 'disabled',
  reason: string | undefined,
  options: CommonOptions,
  terminal: Terminal,
): Promise<void> {
  const login = loginFrom(options, terminal);
  const changed = await withApi(login, ['registryReadWrite'], async (api) => {
    const device = await api.devices.get(id);
    // An update replaces the whole identity, so all that it has is sent again; the ETag keeps another client's change.
    const { authentication, capabilities, deviceScope, parentScopes } = device;
    const draft: DeviceDraft = { authentication, capabilities, deviceScope, parentScopes };
    return api.devices.update(id, { ...draft, status, statusReason: reason ?? null }, { ifMatch: device.etag });
  });
  if (terminal.json) await printDevice(changed, terminal);
  else note(terminal, `The device ${id} is ${changed.status}.`);
}

async function connectionStringOf(
  id: string,
  login: Login,
  options: { readonly secondary?: boolean; readonly host?: string },
  terminal: Terminal,
): Promise<void> {
  const { type, symmetricKey } = (await withApi(login, ['registryRead'], (api) => api.devices.get(id))).authentication;
  const start = `HostName=${options.host ?? login.hostName};DeviceId=${id}`;
  const key = options.secondary === true ? symmetricKey.secondaryKey : symmetricKey.primaryKey;
  let text: string;
  if (type === 'selfSigned' || type === 'certificateAuthority') text = `${start};x509=true`;
  else if (type === 'sas' && key !== null && key !== '') text = `${start};SharedAccessKey=${key}`;
  else throw new Failure(`The device ${id} has no key and no certificate: it cannot log in by itself.`);
  await print(terminal, terminal.json ? JSON.stringify({ deviceId: id, connectionString: text }) : text);
}
