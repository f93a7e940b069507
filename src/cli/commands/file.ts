import { createReadStream, createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Command, Option } from 'commander';
import type { ApiClient } from '../../api/client.ts';
import type { FilePart } from '../../api/file-calls.ts';
import type { FileJson, GrantAnswerJson, GrantJson } from '../../api/files.ts';
import { Failure } from '../failure.ts';
import { printable, table } from '../output/table.ts';
import { metered } from '../output/transfer.ts';
import { byteCount, count, localTime } from '../output/values.ts';
import { withApi } from '../registry/with-api.ts';
import { note, print, type Terminal } from '../terminal.ts';
import { addRolloutCommands } from './file-rollout.ts';
import { type CommonOptions, durationMs, examples, loginFrom, withLogin } from './options.ts';

interface PartOptions extends CommonOptions {
  readonly device?: string;
  readonly module?: string;
}

/** Narrowest credential for all of this. */
const credentials = ['service'];
const DAY_MS = 86_400_000;

export function addFileCommands(program: Command, terminal: Terminal): void {
  const file = program
    .command('file')
    .summary('files of devices, and files for devices')
    .description(
      'Files that devices have uploaded (--device), and files of the hub, which devices may fetch when they are granted.',
    );

  const list = forPart(file.command('list'))
    .description('Lists files by name.')
    .action((options: PartOptions) => listFiles(options, terminal));
  examples(list, ['mooring file list', 'mooring file list --device dev-01']);

  const get = forPart(file.command('get'))
    .argument('<name>')
    .option('--out <file>', 'where to write it (- = standard output; default: its name, in this folder)')
    .description('Fetches a file. It has its name only when all of it is there.')
    .action((name: string, options: PartOptions & { out?: string }) => getFile(name, options, terminal));
  examples(get, ['mooring file get logs/today.txt --device dev-01', 'mooring file get fw-7.bin --out - | sha256sum']);

  const put = withContent(forPart(file.command('put')))
    .description('Puts a file of this machine. Resolves when the hub has it on disk.')
    .action((local: string, options: PutOptions) =>
      withApi(loginFrom(options, terminal), credentials, async (api) => {
        const name = await putFile(api, local, options, terminal);
        if (terminal.json) await print(terminal, JSON.stringify({ name }));
      }),
    );
  examples(put, ['mooring file put fw-7.bin', 'mooring file put rules.json --device dev-01 --name config/rules.json']);

  const send = withContent(withLogin(file.command('send')))
    .argument('<id...>', 'devices that may fetch it')
    .addOption(new Option('--for <time>', 'how long they may').argParser(durationMs).default(DAY_MS, '1d'))
    .description(
      'Puts a file and lets devices fetch it: by its name, or by the signed URL that is shown. The devices are not told; ' +
        'mooring file rollout tells them.',
    )
    .action((local: string, ids: readonly string[], options: PutOptions & { for: number }) =>
      sendFile(local, ids, options, terminal),
    );
  examples(send, ['mooring file send fw-7.bin dev-01 dev-02 --for 7d']);

  const remove = forPart(file.command('delete'))
    .argument('<name>')
    .description('Removes a file for good.')
    .action((name: string, options: PartOptions) =>
      withApi(loginFrom(options, terminal), credentials, async (api) => {
        await api.files.delete(partOf(options), name);
        note(terminal, `Deleted ${printable(name)}.`);
      }),
    );
  examples(remove, ['mooring file delete fw-6.bin']);

  const grants = forPart(file.command('grants'))
    .argument('[name]', 'a file of the hub; or --device')
    .description('Shows who may fetch a file, or which files a device may fetch, and what was fetched.')
    .action((name: string | undefined, options: PartOptions) => listGrants(name, options, terminal));
  examples(grants, ['mooring file grants fw-7.bin', 'mooring file grants --device dev-01 --json']);

  const revoke = withLogin(file.command('revoke'))
    .argument('<grant-id>', 'as grants shows it')
    .description('Ends a grant: its URL opens nothing any more.')
    .action((id: string, options: CommonOptions) =>
      withApi(loginFrom(options, terminal), credentials, async (api) => {
        await api.files.revoke(id);
        note(terminal, 'Ended.');
      }),
    );
  examples(revoke, ['mooring file revoke 5b0f4f6e-6c1e-4c39-9a53-3c1b5a6d2f10']);
  addRolloutCommands(file, terminal);
}

interface PutOptions extends PartOptions {
  readonly name?: string;
  readonly contentType?: string;
  readonly new?: boolean;
}

function forPart(command: Command): Command {
  return withLogin(command)
    .option('--device <id>', 'a file of that device instead of one of the hub')
    .option('--module <id>', 'of a module of the device');
}

function withContent(command: Command): Command {
  return command
    .argument('<file>', 'a file of this machine')
    .option('--name <name>', 'its name at the hub, slashes allowed (default: its name here)')
    .option('--content-type <type>', 'kept with it (default: application/octet-stream)')
    .option('--new', 'fail where there is a file of this name');
}

/** @throws Failure */
function partOf({ device, module }: PartOptions): FilePart {
  if (device !== undefined) return { deviceId: device, ...(module !== undefined && { moduleId: module }) };
  if (module !== undefined) throw new Failure('--module goes with --device ID.', { usage: true });
  return 'hub';
}

async function listFiles(options: PartOptions, terminal: Terminal): Promise<void> {
  await withApi(loginFrom(options, terminal), credentials, async (api) => {
    const part = partOf(options);
    const files = await all(async (after) => {
      const page = await api.files.list(part, after);
      return { items: page.files, next: page.next };
    });
    if (terminal.json) return print(terminal, JSON.stringify(files, undefined, 2));
    if (files.length === 0) return note(terminal, 'There are none.');
    const columns = [
      { title: 'name', cell: ({ name }: FileJson) => printable(name) },
      { title: 'size', align: 'right' as const, cell: ({ bytes }: FileJson) => byteCount(bytes) },
      { title: 'modified', cell: (row: FileJson) => shownTime(row.lastModifiedTimeUtc) },
      { title: 'type', cell: ({ contentType }: FileJson) => printable(contentType) },
    ];
    await print(terminal, table(terminal.out, columns, files));
  });
}

async function getFile(name: string, options: PartOptions & { readonly out?: string }, terminal: Terminal) {
  await withApi(loginFrom(options, terminal), credentials, async (api) => {
    const { bytes, body } = await api.files.get(partOf(options), name);
    const shown = metered(body, { name: printable(name), total: bytes }, terminal);
    if (options.out === '-') return pipeline(shown, terminal.out.stream, { end: false });
    const to = path.resolve(terminal.cwd, options.out ?? path.posix.basename(name));
    const partial = `${to}.partial`;
    try {
      await pipeline(shown, createWriteStream(partial));
      await rename(partial, to);
    } catch (error) {
      await rm(partial, { force: true });
      throw fileFailure(error, to);
    }
    note(terminal, `Fetched ${printable(name)}, ${byteCount(bytes)}, to ${to}.`);
    if (terminal.json) await print(terminal, JSON.stringify({ name, bytes, file: to }));
  });
}

/** @returns its name at the hub */
async function putFile(api: ApiClient, local: string, options: PutOptions, terminal: Terminal): Promise<string> {
  const from = path.resolve(terminal.cwd, local);
  const name = options.name ?? path.basename(from);
  try {
    const { size } = await stat(from);
    await api.files.put(partOf(options), name, {
      body: metered(createReadStream(from), { name: printable(name), total: size }, terminal),
      bytes: size,
      ...(options.contentType !== undefined && { contentType: options.contentType }),
      ...(options.new !== undefined && { isNew: options.new }),
    });
    note(terminal, `Put ${printable(name)}, ${byteCount(size)}.`);
  } catch (error) {
    throw fileFailure(error, from);
  }
  return name;
}

async function sendFile(
  local: string,
  ids: readonly string[],
  options: PutOptions & { readonly for: number },
  terminal: Terminal,
): Promise<void> {
  await withApi(loginFrom(options, terminal), credentials, async (api) => {
    const name = await putFile(api, local, options, terminal);
    const devices = [...new Set(ids)].map((deviceId) => ({ deviceId }));
    const grants = await api.files.grant(name, devices, Math.ceil(options.for / 1000));
    if (terminal.json) await print(terminal, JSON.stringify({ name, grants }, undefined, 2));
    else {
      const columns = [
        { title: 'device', cell: ({ deviceId }: GrantAnswerJson) => deviceId },
        { title: 'url', cell: ({ url, error }: GrantAnswerJson) => url ?? `none: ${error}` },
      ];
      await print(terminal, table(terminal.out, columns, grants));
    }
    const failed = grants.filter(({ error }) => error !== undefined);
    if (failed.length === 0) return;
    throw new Failure(`${count(failed.length)} of ${count(grants.length)} devices may not fetch it.`, {
      code: failed[0].error,
      hint: 'The others may.',
    });
  });
}

async function listGrants(name: string | undefined, options: PartOptions, terminal: Terminal): Promise<void> {
  const part = partOf(options);
  if ((name === undefined) === (part === 'hub')) {
    throw new Failure('Name a file of the hub, or say --device ID.', { usage: true });
  }
  await withApi(loginFrom(options, terminal), credentials, async (api) => {
    const grants = await all(async (after) => {
      const page = await api.files.grants(part === 'hub' ? { name: name ?? '' } : part, after);
      return { items: page.grants, next: page.next };
    });
    if (terminal.json) return print(terminal, JSON.stringify(grants, undefined, 2));
    if (grants.length === 0) return note(terminal, 'There are none.');
    const columns = [
      {
        title: 'device',
        cell: ({ deviceId, moduleId }: GrantJson) => deviceId + (moduleId === undefined ? '' : `/${moduleId}`),
      },
      { title: 'file', cell: (row: GrantJson) => printable(row.name) },
      { title: 'until', cell: (row: GrantJson) => shownTime(row.expiresTimeUtc) },
      { title: 'fetched', cell: fetchedText },
      { title: 'grant', cell: ({ id }: GrantJson) => id },
    ];
    await print(terminal, table(terminal.out, columns, grants));
  });
}

function fetchedText({ fetched }: GrantJson): string {
  if (fetched === null) return 'nothing';
  if (fetched.completedTimeUtc !== null) return `all, ${shownTime(fetched.completedTimeUtc)}`;
  return `${byteCount(fetched.sentBytes)} of ${byteCount(fetched.bytes)}, ${shownTime(fetched.lastTimeUtc)}`;
}

/** Items of all pages. */
async function all<Item>(
  page: (of: { readonly after?: string }) => Promise<{ items: readonly Item[]; next?: string | undefined }>,
): Promise<readonly Item[]> {
  const found: Item[] = [];
  for (let of: { readonly after?: string } = {}; ; ) {
    const { items, next } = await page(of);
    found.push(...items);
    if (next === undefined) return found;
    of = { after: next };
  }
}

/** What this machine's file system refuses; everything else stays as it is. */
function fileFailure(error: unknown, file: string): unknown {
  const { code, path: place } = error as NodeJS.ErrnoException;
  if (typeof code !== 'string' || place === undefined) return error;
  return new Failure(`The file ${file} cannot be used: ${code}.`, { cause: error });
}

const shownTime = (text: string): string => localTime(Date.parse(text));
