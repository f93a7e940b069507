import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { ApiClient } from '../../api/client.ts';
import type { TwinTarget } from '../../api/twin-calls.ts';
import type { TwinChangeJson, TwinJson } from '../../api/twins.ts';
import { withApi } from '../registry/with-api.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { type CommonOptions, durationMs, examples, loginFrom, withLogin } from './options.ts';

interface TargetOptions extends CommonOptions {
  readonly module?: string;
}

interface ChangeOptions extends TargetOptions {
  readonly desired?: unknown;
  readonly tags?: unknown;
  readonly etag?: string;
}

/** Narrowest credential for all of this. */
const credentials = ['service'];
const WATCH_MS_DEFAULT = 1000;

export function addTwinCommands(program: Command, terminal: Terminal): void {
  const twin = program
    .command('twin')
    .summary('twins of devices')
    .description('Twins of devices and modules: tags, desired and reported properties.');

  const show = forTarget(twin.command('show'))
    .description('Shows a twin.')
    .action((id: string, options: TargetOptions) =>
      withTwins(options, terminal, async (api) => printTwin(await api.twins.get(targetOf(id, options)), terminal)),
    );
  examples(show, ['mooring twin show dev-01', 'mooring twin show dev-01 --json | jq .properties.reported']);

  const update = withSections(forTarget(twin.command('update')))
    .description('Merges into a twin: what is not named stays, null deletes.')
    .action((id: string, options: ChangeOptions) =>
      withTwins(options, terminal, async (api) =>
        printTwin(await api.twins.update(targetOf(id, options), changeOf(options), ifMatch(options)), terminal),
      ),
    );
  examples(update, [
    'mooring twin update dev-01 --desired \'{"interval": 10}\'',
    'mooring twin update dev-01 --tags \'{"site": null}\' --etag AAAAAAAAAAI=',
  ]);

  const replace = withSections(forTarget(twin.command('replace')))
    .description('Replaces the sections of a twin that are named.')
    .action((id: string, options: ChangeOptions) =>
      withTwins(options, terminal, async (api) =>
        printTwin(await api.twins.replace(targetOf(id, options), changeOf(options), ifMatch(options)), terminal),
      ),
    );
  examples(replace, ["mooring twin replace dev-01 --desired '{\"interval\": 10}' --tags '{}'"]);

  const watch = forTarget(twin.command('watch'))
    .description('Shows a twin each time that it has changed, until Ctrl-C.')
    .addOption(new Option('--every <time>', 'how often to look').argParser(durationMs).default(WATCH_MS_DEFAULT, '1s'))
    .action((id: string, options: TargetOptions & { readonly every: number }) =>
      terminal.untilStopped((stop) =>
        withTwins(options, terminal, (api) => watchTwin(api, targetOf(id, options), options.every, stop, terminal)),
      ),
    );
  examples(watch, ['mooring twin watch dev-01']);
}

export function forTarget(command: Command): Command {
  return withLogin(command).argument('<id>').option('--module <id>', 'a module of the device instead of itself');
}

export function targetOf(deviceId: string, { module }: { readonly module?: string }): TwinTarget {
  return module === undefined ? { deviceId } : { deviceId, moduleId: module };
}

/** An option's value as JSON. */
export function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidArgumentError('It is not JSON.');
  }
}

function withSections(command: Command): Command {
  return command
    .option('--desired <json>', 'desired properties', json)
    .option('--tags <json>', 'tags', json)
    .option('--etag <etag>', 'only if the twin still has this ETag');
}

function changeOf({ desired, tags }: ChangeOptions): TwinChangeJson {
  if (desired === undefined && tags === undefined) {
    throw new InvalidArgumentError('Name what is to change: --desired, --tags or both.');
  }
  return {
    ...(tags !== undefined && { tags: tags as TwinChangeJson['tags'] }),
    ...(desired !== undefined && { properties: { desired: desired as TwinChangeJson['tags'] } }),
  };
}

const ifMatch = ({ etag }: ChangeOptions) => (etag === undefined ? {} : { ifMatch: etag });

function withTwins(options: CommonOptions, terminal: Terminal, work: (api: ApiClient) => Promise<void>): Promise<void> {
  return withApi(loginFrom(options, terminal), credentials, work);
}

function printTwin(twin: TwinJson, terminal: Terminal): Promise<void> {
  return print(terminal, JSON.stringify(twin, undefined, terminal.json ? undefined : 2));
}

async function watchTwin(
  api: ApiClient,
  target: TwinTarget,
  everyMs: number,
  stop: AbortSignal,
  terminal: Terminal,
): Promise<void> {
  let seen: number | undefined;
  note(terminal, 'Ctrl-C ends it.');
  while (!stop.aborted) {
    const twin = await api.twins.get(target);
    if (twin.version !== seen) await printTwin(twin, terminal);
    seen = twin.version;
    await sleep(everyMs, undefined, { signal: stop }).catch(() => {});
  }
}
