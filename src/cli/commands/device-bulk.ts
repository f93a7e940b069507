import { type Command, Option } from 'commander';
import { limits } from '../../base/limits.ts';
import { Failure } from '../failure.ts';
import { progressLine } from '../output/progress.ts';
import { printable } from '../output/table.ts';
import { count, duration } from '../output/values.ts';
import { bulk, bulkFailure, numberedIds } from '../registry/bulk.ts';
import { withApi } from '../registry/with-api.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { printDevice } from './device-view.ts';
import { type CommonOptions, examples, loginFrom, wholeNumber, withLogin } from './options.ts';

interface ManyOptions extends CommonOptions {
  readonly count?: number;
  readonly prefix?: string;
}

interface CreateOptions extends ManyOptions {
  readonly disabled?: boolean;
}

export function addDeviceBulkCommands(device: Command, terminal: Terminal): void {
  const create = withMany(withLogin(device.command('create')), 'create')
    .argument('[id...]', 'ids of the devices')
    .description(
      'Creates devices with keys that the hub makes. They are shown by: ' +
        'mooring device connection-string ID, or mooring device show ID --keys.',
    )
    .option('--disabled', 'not let in until enabled')
    .action((ids: readonly string[], options: CreateOptions) => createDevices(ids, options, terminal));
  examples(create, ['mooring device create dev-01', 'mooring device create --count 1000 --prefix dev-']);

  const remove = withMany(withLogin(device.command('delete')), 'delete')
    .argument('[id...]', 'ids of the devices')
    .description('Deletes devices for good, with all that waits for them. Their connections are cut at once.')
    .action((ids: readonly string[], options: ManyOptions) => deleteDevices(ids, options, terminal));
  examples(remove, ['mooring device delete dev-01', 'mooring device delete --count 1000 --prefix dev-']);
}

function withMany(command: Command, verb: string): Command {
  const most = wholeNumber(1, limits.devicesMax);
  return command
    .addOption(new Option('--count <n>', `${verb} that many, numbered from 1 with leading zeros`).argParser(most))
    .option('--prefix <text>', 'what stands before the numbers (default: device-)');
}

function idsOf(ids: readonly string[], options: ManyOptions): readonly string[] {
  if (options.count === undefined) {
    if (options.prefix !== undefined) throw new Failure('--prefix goes with --count N.', { usage: true });
    if (ids.length > 0) return [...new Set(ids)];
    throw new Failure('Name the devices, or say --count N --prefix TEXT.', { usage: true });
  }
  if (ids.length > 0) throw new Failure('Name the devices or count them, not both.', { usage: true });
  return numberedIds(options.prefix ?? 'device-', options.count);
}

async function createDevices(named: readonly string[], options: CreateOptions, terminal: Terminal): Promise<void> {
  const ids = idsOf(named, options);
  const status = options.disabled === true ? 'disabled' : 'enabled';
  const login = loginFrom(options, terminal);
  await withApi(login, ['registryReadWrite'], async (api) => {
    if (ids.length === 1) {
      await printDevice(await api.devices.create(ids[0], { status }), terminal);
      return note(terminal, `Its connection string: mooring device connection-string ${printable(ids[0])}`);
    }
    const items = ids.map((id) => ({ id, importMode: 'create', status }) as const);
    await inBulk(api, items, ['created', 'Created', 'Creating'], terminal);
  });
}

async function deleteDevices(named: readonly string[], options: ManyOptions, terminal: Terminal): Promise<void> {
  const ids = idsOf(named, options);
  const login = loginFrom(options, terminal);
  await withApi(login, ['registryReadWrite'], async (api) => {
    if (ids.length === 1) {
      await api.devices.delete(ids[0]);
      if (terminal.json) return print(terminal, JSON.stringify({ deleted: 1 }));
      return note(terminal, `Deleted the device ${printable(ids[0])}.`);
    }
    await inBulk(
      api,
      ids.map((id) => ({ id, importMode: 'delete' }) as const),
      ['deleted', 'Deleted', 'Deleting'],
      terminal,
    );
  });
}

/** Runs the items with a progress line, says how many were done, and fails if not all were. */
async function inBulk(
  api: Parameters<typeof bulk>[0],
  items: Parameters<typeof bulk>[1],
  [done, Done, doing]: readonly [string, string, string],
  terminal: Terminal,
): Promise<void> {
  const startedAt = performance.now();
  const progress = progressLine(terminal);
  try {
    const outcome = await bulk(api, items, {
      onAnswered: (answered) => progress.show(`${doing} devices: ${count(answered)} of ${count(items.length)}`),
    });
    progress.end();
    if (terminal.json) await print(terminal, JSON.stringify({ [done]: outcome.done, errors: outcome.errors }));
    else note(terminal, `${Done} ${count(outcome.done)} devices in ${duration(performance.now() - startedAt)}.`);
    if (outcome.errors.length > 0) throw bulkFailure(done, items.length, outcome);
  } finally {
    progress.end();
  }
}
