import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { ApiClient } from '../../api/client.ts';
import type { RolloutJson, RolloutTargetJson } from '../../api/files.ts';
import { limits } from '../../base/limits.ts';
import { Failure } from '../failure.ts';
import { progressLine } from '../output/progress.ts';
import { facts, paint, printable, table } from '../output/table.ts';
import { count, duration, localTime } from '../output/values.ts';
import { withApi } from '../registry/with-api.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { type CommonOptions, durationMs, examples, loginFrom, wholeNumber, withLogin } from './options.ts';

interface WatchOptions extends CommonOptions {
  readonly watch?: boolean;
  readonly every: number;
}

interface StartOptions extends WatchOptions {
  readonly devicesFile?: string;
  readonly waveSize?: number;
  readonly pause?: number;
  readonly fetch?: number;
  readonly failedShare?: number;
}

const credentials = ['service'];
const EVERY_MS = 1000;

export function addRolloutCommands(file: Command, terminal: Terminal): void {
  const rollout = file
    .command('rollout')
    .summary('one file to many devices, in waves')
    .description(
      'Lets many devices fetch a file of the hub, a wave of them at a time. Each is told by a command that holds the URL. ' +
        'A wave begins when the one before is over; none begins when too many devices have failed.',
    );

  const start = withWatch(rollout.command('start'))
    .argument('<name>', 'a file of the hub (mooring file put)')
    .argument('[id...]', 'the devices, in the order of the waves')
    .option('--devices-file <file>', 'their ids from a file, one a line (- = standard input)')
    .option('--wave-size <n>', 'devices of a wave', wholeNumber(1, limits.rolloutWaveMax))
    .option('--pause <time>', 'between two waves', durationMs)
    .option('--fetch <time>', 'how long a device may take to fetch it (default: 1d)', durationMs)
    .option('--failed-share <share>', 'of failed devices from which no wave begins, 0.01 to 1 (default: 0.1)', share)
    .action((name: string, ids: readonly string[], options: StartOptions) =>
      terminal.untilStopped((stop) => startRollout(name, ids, options, stop, terminal)),
    );
  examples(start, [
    'mooring file rollout start fw-7.bin --devices-file ids.txt --wave-size 50 --pause 10m --watch',
    'mooring file rollout start fw-7.bin dev-01 dev-02 --failed-share 0.5',
  ]);

  const show = withWatch(rollout.command('show'))
    .argument('<rollout-id>')
    .description('Shows how far a rollout has come, and why devices have failed.')
    .action((id: string, options: WatchOptions) =>
      terminal.untilStopped((stop) =>
        withApi(loginFrom(options, terminal), credentials, async (api) => {
          if (options.watch === true) return watchRollout(api, id, options, stop, terminal);
          await showRollout(api, id, terminal);
        }),
      ),
    );
  examples(show, ['mooring file rollout show 5b0f4f6e-6c1e-4c39-9a53-3c1b5a6d2f10 --watch']);

  const list = withLogin(rollout.command('list'))
    .description('Lists rollouts, newest first.')
    .action((options: CommonOptions) =>
      withApi(loginFrom(options, terminal), credentials, async (api) => {
        const { rollouts } = await api.files.rollouts();
        if (terminal.json) return print(terminal, JSON.stringify(rollouts, undefined, 2));
        if (rollouts.length === 0) return note(terminal, 'There are none.');
        const columns = [
          { title: 'rollout', cell: ({ id }: RolloutJson) => id },
          { title: 'file', cell: ({ name }: RolloutJson) => printable(name) },
          { title: 'started', cell: (row: RolloutJson) => localTime(Date.parse(row.createdTimeUtc)) },
          { title: 'state', cell: stateText },
        ];
        await print(terminal, table(terminal.out, columns, rollouts));
      }),
    );
  examples(list, ['mooring file rollout list']);

  const stop = withLogin(rollout.command('stop'))
    .argument('<rollout-id>')
    .description('No further wave begins. A device that was told may still fetch the file.')
    .action((id: string, options: CommonOptions) =>
      withApi(loginFrom(options, terminal), credentials, async (api) => {
        const stopped = await api.files.stopRollout(id);
        if (terminal.json) return print(terminal, JSON.stringify(stopped, undefined, 2));
        note(terminal, `Stopped in wave ${stopped.wave}; ${count(stopped.waiting)} devices were not told.`);
      }),
    );
  examples(stop, ['mooring file rollout stop 5b0f4f6e-6c1e-4c39-9a53-3c1b5a6d2f10']);
}

function withWatch(command: Command): Command {
  return withLogin(command)
    .option('--watch', 'show each wave until the rollout is over; fails when it was stopped')
    .addOption(
      new Option('--every <time>', 'with --watch: how often to look').argParser(durationMs).default(EVERY_MS, '1s'),
    );
}

function share(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError('It must be above 0 and at most 1.');
  return value;
}

/** @throws Failure */
function idsOf(ids: readonly string[], { devicesFile }: StartOptions, cwd: string): readonly string[] {
  if (devicesFile === undefined) {
    if (ids.length === 0) throw new Failure('Name the devices, or say --devices-file FILE.', { usage: true });
    return [...new Set(ids)];
  }
  const text = readFileSync(devicesFile === '-' ? 0 : path.resolve(cwd, devicesFile), 'utf8');
  const lines = text.split('\n').map((line) => line.trim());
  return [...new Set([...ids, ...lines.filter((line) => line !== '')])];
}

async function startRollout(
  name: string,
  named: readonly string[],
  options: StartOptions,
  stop: AbortSignal,
  terminal: Terminal,
): Promise<void> {
  const ids = idsOf(named, options, terminal.cwd);
  const { waveSize, pause, fetch, failedShare } = options;
  await withApi(loginFrom(options, terminal), credentials, async (api) => {
    const started = await api.files.startRollout({
      name,
      devices: ids.map((deviceId) => ({ deviceId })),
      ...(waveSize !== undefined && { waveSize }),
      ...(pause !== undefined && { pauseSeconds: Math.ceil(pause / 1000) }),
      ...(fetch !== undefined && { fetchSeconds: Math.ceil(fetch / 1000) }),
      ...(failedShare !== undefined && { failedShareMax: failedShare }),
    });
    note(terminal, `Rollout ${started.id}: ${printable(name)} to ${count(ids.length)} devices.`);
    if (options.watch === true) return watchRollout(api, started.id, options, stop, terminal);
    if (terminal.json) await print(terminal, JSON.stringify(started, undefined, 2));
  });
}

/** A line for each change of wave, and at the end; a person sees the counts between. @throws Failure when it was stopped */
async function watchRollout(
  api: ApiClient,
  id: string,
  { every }: WatchOptions,
  stop: AbortSignal,
  terminal: Terminal,
): Promise<void> {
  const line = progressLine(terminal);
  let shown = '';
  while (!stop.aborted) {
    const rollout = await api.files.rollout(id);
    const text = countsText(rollout);
    const isNews = terminal.json ? text !== shown : `${rollout.wave} ${rollout.state}` !== shown;
    shown = terminal.json ? text : `${rollout.wave} ${rollout.state}`;
    if (isNews) {
      line.end();
      const time = paint(terminal.out, 'dim', localTime(Date.now()));
      await print(terminal, terminal.json ? JSON.stringify(rollout) : `${time}  ${text}`);
    } else line.show(text);
    if (rollout.state !== 'running') {
      line.end();
      if (rollout.state === 'finished') return;
      throw new Failure(`The rollout was stopped: ${rollout.reason}.`, {
        hint: `Why devices have failed: mooring file rollout show ${id}`,
      });
    }
    await sleep(every, undefined, { signal: stop }).catch(() => {});
  }
  line.end();
}

async function showRollout(api: ApiClient, id: string, terminal: Terminal): Promise<void> {
  const rollout = await api.files.rollout(id);
  const { devices: failed } = await api.files.rolloutDevices(id, { state: 'failed' });
  if (terminal.json) return print(terminal, JSON.stringify({ ...rollout, failedDevices: failed }, undefined, 2));
  const text = facts(terminal.out, [
    ['file', printable(rollout.name)],
    ['state', stateText(rollout)],
    ['started', `${localTime(Date.parse(rollout.createdTimeUtc))} by ${printable(rollout.createdBy)}`],
    ['waves', `of ${count(rollout.waveSize)}, ${duration(rollout.pauseSeconds * 1000)} between two`],
    ['devices', countsText(rollout)],
  ]);
  await print(terminal, text);
  if (failed.length === 0) return;
  const columns = [
    { title: 'failed', cell: ({ deviceId }: RolloutTargetJson) => deviceId },
    { title: 'reason', cell: ({ reason }: RolloutTargetJson) => printable(reason) },
  ];
  await print(terminal, `\n${table(terminal.out, columns, failed)}`);
}

const stateText = ({ state, reason }: RolloutJson): string =>
  reason === '' ? state : `${state}: ${printable(reason)}`;

/** `wave 2: 48 fetched, 2 failed, 10 told, 40 waiting` */
function countsText({ wave, state, fetched, failed, told, waiting }: RolloutJson): string {
  const text = `wave ${wave}: ${count(fetched)} fetched, ${count(failed)} failed, ${count(told)} told, ${count(waiting)} waiting`;
  return state === 'running' ? text : `${text}; ${state}`;
}
