/**
 * `mooring data …`: what is wrong with a data folder, mending it, and copies of it. All work on the files themselves; only a
 * backup may be made while a hub holds the folder.
 */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { systemRandom } from '../../base/random.ts';
import { type BackupManifest, backUpData } from './data-backup.ts';
import { checkData, type DataCheck, type DataProblem } from './data-check.ts';
import { DataFolderError, lockDataFolder } from './data-folder.ts';
import { type DataRepair, repairData } from './data-repair.ts';
import { type Restored, restoreData, verifyBackup } from './data-restore.ts';

const usage = `Usage: mooring data check|repair [--data-dir DIR] [--accept-loss PART,…] [--json]
       mooring data backup TO [--data-dir DIR] [--keys] [--without-files] [--json]
       mooring data verify FROM [--json]
       mooring data restore FROM [--data-dir DIR] [--json]
       mooring data export NEW --storage cluster|embedded … (mooring data export --help)
       mooring data rotate-key [--data-dir DIR] [--json]
  backup   makes a consistent copy in the new folder TO, also of a hub that runs; with --keys also of the keys and
           certificates, without which the copy cannot be used: keep them apart, or keep the copy as safe as them
  verify   whether a backup is whole
  restore  makes a data folder of a backup; sequence numbers of events go on far behind those of the backup
  export   takes a hub from its data folder into Kafka and PostgreSQL, or back, into the new data folder NEW
  check    reads everything in the data folder and says what is wrong; changes nothing
  repair   mends what it can; what it changes is kept in DIR/damaged first, with a report of what is lost

A part that the folder has lost (check and the start of the hub name it) comes back from a copy. Where there is none,
--accept-loss says that the hub may go on without it: tables (every device, policy and command), events/NAME (sequence
numbers go on behind all that were given), tls (clients must trust a new authority), keys (the stored keys of devices and
policies: those devices are disabled).

For check, repair and restore the hub must be stopped. A key that was given to the hub (MOORING_KEY_ENCRYPTION_KEY) must be given here, too.
Exit codes: 0 sound, or mended; 1 something is wrong, or could not be mended; 2 wrong use.
`;

interface Output {
  out(text: string): void;
  err(text: string): void;
}

/** @returns the exit code: 0 sound or mended, 1 not, 2 wrong use */
export async function runData(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  { out, err }: Output,
): Promise<number> {
  const asked = readArguments(argv, env);
  if (asked === 'help') {
    out(usage);
    return 0;
  }
  if (asked === undefined) {
    err(usage);
    return 2;
  }
  const { action, folder, json, acceptedLosses } = asked;
  if (action === 'backup' || action === 'verify' || action === 'restore') return runBackup(asked, env, { out, err });
  let unlock = (): void => {};
  try {
    unlock = lockDataFolder(folder);
    const given = env.MOORING_KEY_ENCRYPTION_KEY;
    if (action === 'check') {
      const check = await checkData({ folder, givenKey: given });
      out(json ? `${JSON.stringify({ ok: check.problems.length === 0, ...check })}\n` : checkText(check));
      return check.problems.length === 0 ? 0 : 1;
    }
    const repair = await repairData({ folder, givenKey: given, random: systemRandom, now: Date.now(), acceptedLosses });
    out(json ? `${JSON.stringify({ ok: repair.left.length === 0, ...repair })}\n` : repairText(repair));
    return repair.left.length === 0 ? 0 : 1;
  } catch (error) {
    const message = (error as Error).message;
    if (json) out(`${JSON.stringify({ ok: false, error: message })}\n`);
    else err(error instanceof DataFolderError ? `${message}\n` : `The data folder cannot be looked at. ${message}\n`);
    return 1;
  } finally {
    unlock();
  }
}

async function runBackup(
  { action, folder, other, json, withKeys, withFiles }: Asked,
  env: Readonly<Record<string, string | undefined>>,
  { out, err }: Output,
): Promise<number> {
  const givenKey = env.MOORING_KEY_ENCRYPTION_KEY;
  try {
    if (action === 'backup') {
      let shown = 0;
      const manifest = await backUpData({
        ...{ folder, target: other, withKeys, withFiles, now: Date.now },
        progress({ file, bytes }) {
          if (json || Date.now() - shown < PROGRESS_MS) return;
          shown = Date.now();
          err(`  ${Math.round(bytes / 2 ** 20)} MiB copied: ${file}\n`);
        },
      });
      out(json ? `${JSON.stringify({ ok: true, ...manifest })}\n` : backupText(other, manifest));
      return 0;
    }
    const { problems, ...rest } =
      action === 'verify'
        ? await verifyBackup(other, givenKey)
        : await restoreData({ source: other, folder, givenKey, random: systemRandom, now: Date.now() });
    const actions = 'actions' in rest ? (rest as Restored).actions : [];
    if (json) out(`${JSON.stringify({ ok: problems.length === 0, problems, actions, ...rest })}\n`);
    else if (problems.length > 0)
      err(`The backup ${other} is damaged:\n${problems.map((each) => `  ${each}\n`).join('')}`);
    else out(actions.length > 0 ? actions.map((each) => `  ${each}\n`).join('') : `The backup ${other} is whole.\n`);
    return problems.length === 0 ? 0 : 1;
  } catch (error) {
    const { message } = error as Error;
    if (json) out(`${JSON.stringify({ ok: false, error: message })}\n`);
    else err(`${message}\n`);
    return 1;
  }
}

const PROGRESS_MS = 1000;

function backupText(target: string, { files, withKeys }: BackupManifest): string {
  const bytes = Object.values(files).reduce((sum, file) => sum + file.bytes, 0);
  const keys = withKeys
    ? 'It holds the keys: who can read it can act as every device.'
    : 'It holds no keys and certificates: keep the folders keys and tls apart, a restore needs them.';
  return `${Object.keys(files).length} files, ${Math.round(bytes / 2 ** 20)} MiB, are in ${target}.\n${keys}\n`;
}

interface Asked {
  readonly action: 'check' | 'repair' | 'backup' | 'verify' | 'restore';
  /** The data folder. */
  readonly folder: string;
  /** The backup's. */
  readonly other: string;
  readonly json: boolean;
  readonly acceptedLosses: readonly string[];
  readonly withKeys: boolean;
  readonly withFiles: boolean;
}

const withPlace = new Set(['backup', 'verify', 'restore']);

function readArguments(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Asked | 'help' | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        'data-dir': { type: 'string' },
        'accept-loss': { type: 'string', multiple: true },
        json: { type: 'boolean' },
        keys: { type: 'boolean' },
        'without-files': { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help === true) return 'help';
    const [action, other = '', ...more] = positionals;
    if (!isAction(action) || more.length > 0 || withPlace.has(action) !== (other !== '')) return undefined;
    const forBackup = values.keys === true || values['without-files'] === true;
    if (forBackup && action !== 'backup') return undefined;
    const folder = path.resolve(values['data-dir'] ?? env.MOORING_DATA_DIR ?? './mooring-data');
    const acceptedLosses = (values['accept-loss'] ?? []).flatMap((names) => names.split(','));
    if (!acceptedLosses.every((part) => /^(tables|tls|keys|events\/.+)$/.test(part))) return undefined;
    if (action !== 'repair' && acceptedLosses.length > 0) return undefined;
    return {
      ...{ action, folder, other: path.resolve(other), json: values.json === true, acceptedLosses },
      withKeys: values.keys === true,
      withFiles: values['without-files'] !== true,
    };
  } catch {
    return undefined;
  }
}

function isAction(text: string | undefined): text is Asked['action'] {
  return text === 'check' || text === 'repair' || (text !== undefined && withPlace.has(text));
}

function checkText(check: DataCheck): string {
  const lines = [`Data folder ${check.folder}`];
  for (const { name, segments, bytes, events, lost } of check.eventLogs) {
    lines.push(`  event log ${name}: ${segments} segments, ${bytes} bytes, ${events} events`);
    for (const { partition, firstSequence, count } of lost) {
      lines.push(
        `    partition ${partition}: ${firstSequence} to ${firstSequence + count - 1} were lost before a repair`,
      );
    }
  }
  const rows = Object.values(check.tables.rows).reduce((sum, count) => sum + count, 0);
  lines.push(`  tables: format ${check.tables.format ?? 'unknown'}, ${rows} rows`);
  if (check.problems.length === 0) return `${lines.join('\n')}\nNothing is wrong.\n`;
  lines.push(`${check.problems.length} problems:`, ...check.problems.map(problemText));
  return `${lines.join('\n')}\n`;
}

function problemText({ file, place, what, repair }: DataProblem): string {
  return `  ${file}${place === undefined ? '' : `, byte ${place}`}: ${what}\n    repair: ${repair}`;
}

function repairText(repair: DataRepair): string {
  const lines = [`Data folder ${repair.folder}`, ...repair.actions.map((action) => `  ${action}`)];
  for (const { log, partition, firstSequence, count, atMost } of repair.lost) {
    const last = firstSequence + count - 1;
    lines.push(`  lost in ${log}, partition ${partition}: ${atMost ? 'at most ' : ''}${firstSequence} to ${last}`);
  }
  if (repair.aside !== undefined) lines.push(`What was changed is kept in ${repair.aside}, with this report.`);
  if (repair.left.length > 0) {
    lines.push('Not mended:', ...repair.left.map(problemText));
  } else lines.push(repair.actions.length === 0 ? 'Nothing was wrong.' : 'The hub can be started.');
  return `${lines.join('\n')}\n`;
}
