/** `mooring data verify` and `mooring data restore`: whether a backup is whole, and a hub's data folder from it. */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import path from 'node:path';
import { limits } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import { syncFolder } from '../../stores/embedded/sync-folder.ts';
import { type BackupManifest, manifestFile, readManifest } from './data-backup.ts';
import { checkData, type DataProblem } from './data-check.ts';
import { DataFolderError, readDataFacts, syncFile } from './data-folder.ts';
import { acceptLoss } from './data-loss.ts';

export interface Verified {
  readonly manifest: BackupManifest;
  /** In words; empty = the backup is whole. */
  readonly problems: readonly string[];
}

/**
 * Compares every file with its sum, and looks at what the files hold as `data check` does.
 * @param givenKey the setting keyEncryptionKey, if the hub has one
 * @throws DataFolderError when the folder is no finished backup
 */
export async function verifyBackup(target: string, givenKey: string | undefined): Promise<Verified> {
  if (!existsSync(manifestFile(target))) {
    throw new DataFolderError(`${target} holds no finished backup: backup.json is missing.`);
  }
  const manifest = readManifest(target, readFileSync(manifestFile(target), 'utf8'));
  const data = path.join(target, 'data');
  const problems: string[] = [];
  for (const [name, { bytes, sha256 }] of Object.entries(manifest.files)) {
    const file = path.join(data, name);
    if (!existsSync(file)) problems.push(`${name} is missing`);
    else if (statSync(file).size !== bytes || (await sumOf(file)) !== sha256) problems.push(`${name} has changed`);
  }
  if (problems.length > 0) return { manifest, problems };
  const { problems: found } = await checkData({ folder: data, givenKey });
  const isMissingKeys = ({ kind, file }: DataProblem): boolean =>
    !manifest.withKeys && (kind === 'key' || (kind === 'lost' && file.startsWith('tls')));
  // An index is made again from its segment, at the next start.
  const wrong = found.filter((problem) => problem.kind !== 'index' && !isMissingKeys(problem));
  return { manifest, problems: wrong.map(({ file, what }) => `${file}: ${what}`) };
}

export interface RestoreWish {
  readonly source: string;
  /** Made; must be empty where it is there. */
  readonly folder: string;
  readonly givenKey: string | undefined;
  readonly random: Random;
  /** UTC milliseconds. */
  readonly now: number;
}

export interface Restored extends Verified {
  /** What was done and what is left to do, a sentence each. */
  readonly actions: readonly string[];
}

/**
 * Puts a backup in place as a data folder. Numbers of events go on far behind those that the hub may have given after the
 * backup was made, so that none means two events to a reader.
 * @throws DataFolderError
 */
export async function restoreData({ source, folder, givenKey, random, now }: RestoreWish): Promise<Restored> {
  const verified = await verifyBackup(source, givenKey);
  if (verified.problems.length > 0) return { ...verified, actions: [] };
  const step = stepBehind(now - verified.manifest.begunTime);
  refuseUsedUp(path.join(source, 'data'), step);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (readdirSync(folder).length > 0) {
    throw new DataFolderError(`${folder} is not empty. Restore into a new folder, and move it when it is sound.`);
  }
  const { files, withKeys } = verified.manifest;
  // A folder without hub.json is no hub's: it comes last.
  const names = Object.keys(files).sort((a, b) => Number(a === 'hub.json') - Number(b === 'hub.json'));
  for (const name of names) {
    const to = path.join(folder, name);
    mkdirSync(path.dirname(to), { recursive: true, mode: 0o700 });
    await copyFile(path.join(source, 'data', name), to);
    syncFile(to);
    syncFolder(path.dirname(to));
  }
  const actions = [`${names.length} files were put into ${folder}`, ...(await passNumbers(folder, step, random))];
  if (!withKeys) {
    actions.push(
      'the backup holds no keys: put the folders keys and tls of the hub into the data folder before it starts',
    );
  }
  return { ...verified, actions };
}

/**
 * How many numbers of a partition may have been given since a backup was made. A clock that shows less than it did then
 * counts as no time.
 */
function stepBehind(sinceMs: number): number {
  const seconds = Math.ceil(Math.max(0, sinceMs) / 1000);
  return limits.restoredSequenceStep + seconds * limits.restoredSequencesPerSecond;
}

/** @throws DataFolderError when a partition would have no numbers left */
function refuseUsedUp(data: string, step: number): void {
  for (const [log, { ceilings }] of Object.entries(readDataFacts(data)?.parts?.events ?? {})) {
    if (Math.max(0, ...ceilings) + step < limits.restoredSequenceMax) continue;
    throw new DataFolderError(
      `The event log ${log} cannot go on: the backup is so old, by the clock of this machine, that no sequence numbers are ` +
        'left behind those that may have been given since. See that the clock is right.',
    );
  }
}

/** Lets each event log go on behind all numbers that were given since. */
async function passNumbers(folder: string, step: number, random: Random): Promise<readonly string[]> {
  let facts = readDataFacts(folder);
  const actions: string[] = [];
  for (const log of Object.keys(facts?.parts?.events ?? {})) {
    if (facts?.parts === undefined) break;
    const { newest, ceilings } = facts.parts.events[log];
    const raised = { newest, ceilings: ceilings.map((ceiling) => ceiling + step) };
    const parts = { ...facts.parts, events: { ...facts.parts.events, [log]: raised } };
    const accepted = await acceptLoss({ folder, facts: { ...facts, parts }, part: `events/${log}`, random });
    facts = accepted.facts;
    actions.push(`event log ${log}: sequence numbers go on at ${raised.ceilings.join(', ')}`);
  }
  return actions;
}

async function sumOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
