/** `mooring data export`: a stopped hub, from its data folder into Kafka and PostgreSQL or back. */
import path from 'node:path';
import { systemClock } from '../../base/clock.ts';
import { systemRandom } from '../../base/random.ts';
import type { Settings } from '../config/config.ts';
import { loadSettings, SettingsError } from '../config/config-sources.ts';
import { lockDataFolder } from '../data/data-folder.ts';
import { type Exported, exportToCluster, exportToFolder } from './export.ts';

const usage = `Usage: mooring data export NEW --storage cluster|embedded [--data-dir DIR] [--kafka-brokers …] [settings]
                          [--renumber] [--without-files] [--json]
  Takes the hub of the data folder DIR along into another storage: with --storage cluster from the folder into Kafka and
  PostgreSQL, with --storage embedded from there into a folder. NEW is the new data folder; the hub is started with it and with
  the same settings afterwards. The hub must be stopped. What it is taken from is not changed: start it there again to go back.

  All tables go along, and all events with their times. Events keep their sequence numbers; --renumber lets them begin at 0,
  where a cluster would have too many numbers to count (back ends must forget their checkpoints then).
  What is stored encrypted is encrypted with the key of NEW, a new one in NEW/keys or MOORING_KEY_ENCRYPTION_KEY; where both
  hubs are given a key, MOORING_PREVIOUS_KEY_ENCRYPTION_KEY is the old one.
  --without-files leaves files of devices out, where they are kept in the data folder.

  Settings are those of serve, as flags, variables or a file: --kafka-…, MOORING_POSTGRES_URL, --postgres-schema, --retention-days.
  The topics and the schema must be new or empty. An export that does not come to its end is begun again: it says what is to be removed.
Exit codes: 0 done, 1 not done, 2 wrong use.
`;

interface Output {
  out(text: string): void;
  err(text: string): void;
}

interface Asked {
  readonly target: string;
  readonly settings: Settings;
  readonly storage: 'cluster' | 'embedded';
  readonly renumbers: boolean;
  readonly withFiles: boolean;
  readonly json: boolean;
}

/** @returns the exit code */
export async function runExport(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  { out, err }: Output,
): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    out(usage);
    return 0;
  }
  let asked: Asked | undefined;
  try {
    asked = readArguments(argv, env);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    err(`The settings cannot be used:\n${error.problems.map((problem) => `  ${problem}\n`).join('')}`);
    return 2;
  }
  if (asked === undefined) {
    err(usage);
    return 2;
  }
  process.umask(0o077);
  const { settings, target, storage, json } = asked;
  let unlock = (): void => {};
  const show = json ? () => {} : shower(err);
  try {
    unlock = lockDataFolder(settings.dataDir);
    const carryOut = storage === 'cluster' ? exportToCluster : exportToFolder;
    const exported = await carryOut({
      ...{ settings, target, withFiles: asked.withFiles, renumbers: asked.renumbers },
      ...{ clock: systemClock, random: systemRandom, progress: show },
    });
    out(json ? `${JSON.stringify({ ok: true, target, ...exported })}\n` : doneText(asked, exported));
    return 0;
  } catch (error) {
    const { message } = error as Error;
    if (json) out(`${JSON.stringify({ ok: false, error: message })}\n`);
    else err(`The hub was not exported. ${message}\n`);
    return 1;
  } finally {
    unlock();
  }
}

/** @returns undefined = wrong use @throws SettingsError */
function readArguments(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): Asked | undefined {
  const own = new Set<string>();
  const rest: string[] = [];
  const places: string[] = [];
  let storage: string | undefined;
  for (let at = 0; at < argv.length; at++) {
    const argument = argv[at];
    if (['--renumber', '--without-files', '--json'].includes(argument)) own.add(argument);
    else if (argument === '--storage') storage = argv[++at];
    else if (argument.startsWith('--storage=')) storage = argument.slice('--storage='.length);
    else if (argument.startsWith('--')) {
      rest.push(argument);
      if (!argument.includes('=') && argv[at + 1]?.startsWith('--') === false) rest.push(argv[++at]);
    } else places.push(argument);
  }
  if (places.length !== 1 || (storage !== 'cluster' && storage !== 'embedded')) return undefined;
  if (storage === 'embedded' && own.has('--renumber')) return undefined;
  // Either way the settings of the cluster are needed.
  const { settings } = loadSettings([...rest, '--storage', 'cluster'], env);
  return {
    ...{ target: path.resolve(places[0]), storage },
    settings: { ...settings, dataDir: path.resolve(settings.dataDir) },
    renumbers: own.has('--renumber'),
    withFiles: !own.has('--without-files'),
    json: own.has('--json'),
  };
}

const PROGRESS_MS = 1000;

/** A line a second at most, and one for each new thing. */
function shower(err: (text: string) => void): (what: string, done: number, total: number | undefined) => void {
  let [last, shown] = ['', 0];
  return (what, done, total) => {
    if (what === last && Date.now() - shown < PROGRESS_MS) return;
    [last, shown] = [what, Date.now()];
    err(`  ${what}: ${done}${total === undefined ? '' : ` of ${total}`}\n`);
  };
}

function doneText({ target, storage, renumbers }: Asked, { hubName, events, rows }: Exported): string {
  const lines = [`The hub ${hubName} is in ${target}, storage ${storage}.`];
  for (const [name, { events: count, changed, later }] of Object.entries(events)) {
    lines.push(`  events of ${name}: ${count}${renumbers ? ', with new sequence numbers' : ''}`);
    if (changed > 0) lines.push(`    of these, ${changed} are put together in another way; what they say is the same`);
    if (later > 0) lines.push(`    of these, ${later} have a later enqueued time: a journal's times do not go back`);
  }
  const all = Object.values(rows).reduce((sum, count) => sum + count, 0);
  lines.push(
    `  rows of tables: ${all}`,
    `Start it with --data-dir ${target} --storage ${storage} and the same settings.`,
  );
  return `${lines.join('\n')}\n`;
}
