import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import type { ObjectError } from '../files/object-store.ts';
import type { Guard, Guarded } from '../identity/guard.ts';
import type { ArchiveEndpoint } from '../routes/endpoints/archive.ts';
import type { CursorStore, RoutedLog } from '../routes/ports.ts';
import type { Archiver } from './archiver.ts';
import { FileBlocks, listedFiles } from './blocks.ts';
import { archiveCalls } from './calls.ts';
import type { ArchiveStore, HistoryFiles } from './ports.ts';
import type { Archives, FileList, FilePage, VerifyOptions } from './room.ts';
import { isOfStore } from './rules.ts';
import type { ArchiveReport, FileProblem, ListedFile } from './types.ts';

/** An archive that is in force. */
export interface KnownArchive {
  readonly endpoint: ArchiveEndpoint;
  readonly since: number;
  /** Undefined = it could not be opened. */
  readonly open: { readonly archiver: Archiver; readonly store: ArchiveStore } | undefined;
}

export interface ArchivesParts {
  readonly guard: Guard;
  readonly known: () => readonly KnownArchive[];
  readonly cursors: CursorStore;
  readonly log: Pick<RoutedLog, 'partitionCount' | 'partition'>;
  readonly files: HistoryFiles;
}

export function createArchives(parts: ArchivesParts): Guarded<Archives> {
  const { known, cursors, log } = parts;

  const find = (name: string): KnownArchive => {
    const found = known().find(({ endpoint }) => endpoint.name.toLowerCase() === name.toLowerCase());
    if (found === undefined) throw new HubError('ArchiveNotFound', `There is no archive '${name}'.`);
    return found;
  };

  async function list({ endpoint, since }: KnownArchive, page: FilePage): Promise<FileList> {
    const { partitionCount } = log;
    const { partition, after, limit } = page;
    if (!Number.isInteger(partition) || partition < 0 || partition >= partitionCount) {
      throw new HubError('ArgumentInvalid', `The partition is a number from 0 to ${partitionCount - 1}.`);
    }
    const blocks = await FileBlocks.load(cursors, { endpoint: endpoint.name, since, partition });
    const files: ListedFile[] = [];
    for await (const block of blocks.all(after)) {
      files.push(...listedFiles(block).filter(({ first }) => after === undefined || first > after));
      if (files.length > limit) break;
    }
    const shown = files.slice(0, limit);
    return { files: shown, next: files.length > limit ? shown.at(-1)?.first : undefined, partitionCount };
  }

  const room: Archives = {
    async list() {
      return known().map(({ endpoint, open }) => {
        const { name, format, naming, prefix, store, fileBytes, fileSeconds } = endpoint;
        return {
          endpoint: { name, format, naming, prefix, store, fileBytes, fileSeconds },
          status: open?.archiver.status(),
        };
      });
    },
    files: async (_, name, page) => list(find(name), page),
    async verify(_, name, page, how) {
      const archive = find(name);
      if (archive.open === undefined) {
        throw new HubError('ServiceUnavailable', `The archive '${name}' could not be opened; the hub's log says why.`);
      }
      const { files, next } = await list(archive, page);
      const report = await verifyFiles({ ...parts, ...archive.open }, files, how);
      return { ...report, endpoint: archive.endpoint.name, next };
    },
  };
  return parts.guard.room(room, archiveCalls);
}

interface VerifyParts extends Pick<ArchivesParts, 'files' | 'log'> {
  readonly store: ArchiveStore;
  readonly archiver: Archiver;
}

async function verifyFiles(
  parts: VerifyParts,
  files: readonly ListedFile[],
  how: VerifyOptions,
): Promise<Omit<ArchiveReport, 'endpoint' | 'next'>> {
  const problems: FileProblem[] = [];
  const sums = { files: 0, events: 0, bytes: 0 };
  for (const [nth, file] of files.entries()) {
    // On its way: the archiver sees to it.
    if (file.bytes === undefined) continue;
    sums.files++;
    sums.events += file.events;
    sums.bytes += file.bytes;
    const { partition, path } = file;
    const tell = (problem: FileProblem['problem'], detail: string): void => {
      problems.push({ partition, path, problem, detail });
    };
    const before = files[nth - 1];
    if (before !== undefined && file.first <= before.last) {
      tell('overlap', `It begins at ${file.first}, and the file before it ends at ${before.last}.`);
    }
    if (file.missed > 0) tell('missed', `Retention had removed ${file.missed} events before they were archived.`);
    if (file.events === 0) continue;
    const found = await ask(() => parts.store.head(path));
    if (found?.bytes !== file.bytes) {
      const what = found === undefined ? 'It is not in the store.' : `It has ${found.bytes} bytes, not ${file.bytes}.`;
      const repaired = how.repair ? await rewritten(parts, file) : '';
      tell(found === undefined ? 'missing' : 'size', `${what}${repaired}`);
    } else if (how.content) {
      const wrong = await contentProblem(parts, file);
      if (wrong !== undefined) tell('content', `${wrong}${how.repair ? await rewritten(parts, file) : ''}`);
    }
  }
  const shown = problems.slice(0, limits.archiveProblemsMax);
  return { ...sums, problems: shown, moreProblems: problems.length - shown.length };
}

async function rewritten({ archiver, log }: VerifyParts, { partition, first }: ListedFile): Promise<string> {
  const { firstSequence } = await log.partition(partition);
  if (firstSequence > first) return ' The event hub does not keep its events any more: it cannot be written again.';
  if (archiver.rewrite(partition, first)) return ' It is written again.';
  return ' Another node archives this partition: ask that one to write it again.';
}

/** What is wrong with a file's events; undefined = nothing, or it is of a form that is not looked into. */
async function contentProblem({ files, store }: VerifyParts, file: ListedFile): Promise<string | undefined> {
  if (file.format !== 'parquet') return undefined;
  let events = 0;
  let last = -1;
  try {
    const opened = await files.open(store, file.path, file.bytes ?? 0);
    for (const group of opened.groups) {
      if (group.firstSequence <= last) return `Its events are out of order at ${group.firstSequence}.`;
      if (group.firstSequence < file.first || group.lastSequence > file.last) {
        return `It has events from ${group.firstSequence} to ${group.lastSequence}, beyond ${file.first} to ${file.last}.`;
      }
      // Damaged pages are found by reading them.
      await opened.read(group);
      last = group.lastSequence;
      events += group.rows;
    }
  } catch (error) {
    if (isOfStore(error)) throw unavailable(error);
    return `It cannot be read: ${(error as Error).message}.`;
  }
  return events === file.events ? undefined : `It has ${events} events, not ${file.events}.`;
}

async function ask<Answer>(work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work();
  } catch (error) {
    throw isOfStore(error) ? unavailable(error) : error;
  }
}

const unavailable = (cause: ObjectError): HubError =>
  new HubError('ServiceUnavailable', `The archive's store does not answer: ${cause.message}.`, { cause });
