/** Carries out a file of identities: page by page, each kept before the next begins. */
import { limits } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import { HubError } from '../errors.ts';
import type { IdentityStore } from '../identity/ports.ts';
import type { RegistryLimits } from '../identity/registry-writes.ts';
import type { JsonObject } from '../twins/types.ts';
import { type ConfigurationLines, takeConfigurations } from './configuration-file.ts';
import { namedIn, parseLine, type ReadTwin, readItem } from './device-line.ts';
import { importPage, type PageEntry } from './import-page.ts';
import type { ImportTwins } from './import-twins.ts';
import { type Line, linesOf } from './lines.ts';
import { Passes, passes as passNames } from './passes.ts';
import type { JobContainer, RegistryJobStore } from './ports.ts';
import { ERRORS_FILE, type JobCursor } from './types.ts';
import { blockId, type HeldJob, JobFailed } from './work.ts';

export interface ImportParts {
  readonly store: IdentityStore;
  readonly twins: ImportTwins;
  readonly readTwin: ReadTwin;
  readonly configurations: ConfigurationLines | undefined;
  readonly records: Pick<RegistryJobStore, 'errors'>;
  readonly limits: RegistryLimits;
  readonly random: Random;
  now(): number;
}

/** @throws JobStopped, JobFailed, ObjectError, HubError */
export async function runImport(held: HeldJob, container: JobContainer, parts: ImportParts): Promise<void> {
  const { plan } = held.job;
  const file = await container.head(plan.inputName);
  if (file === undefined) throw new JobFailed(`There is no file ${plan.inputName} in the container.`);
  if (file.bytes > limits.registryJobFileBytesMax) {
    throw new JobFailed(`The file is larger than ${limits.registryJobFileBytesMax} bytes.`);
  }
  const { cursor: begun, counts: known } = held.job;
  if (begun.etag !== '' && begun.etag !== file.etag) {
    throw new JobFailed(`${plan.inputName} was changed while it was being imported; what was done by then stays.`);
  }
  let cursor: JobCursor = { ...begun, etag: file.etag };
  let counts = known;
  let keptAt = held.monotonic();
  /** The lease must not end while lines are only looked at. */
  const goOn = async (): Promise<void> => {
    await held.turn();
    if (held.monotonic() - keptAt < limits.registryJobLeaseMs / 3) return;
    keptAt = held.monotonic();
    await held.keep(cursor, counts);
  };

  const open = async (start: number) => {
    const found = await container.read(plan.inputName, start);
    if (found === undefined || found.etag !== file.etag) {
      throw new JobFailed(`${plan.inputName} was changed while it was being imported; what was done by then stays.`);
    }
    return bounded(found.body, file.bytes - start);
  };

  const passes = new Passes();
  if (file.bytes > 0) {
    for await (const lines of linesOf(await open(0), { offset: 0, line: 1 }, limits.registryJobLineBytesMax)) {
      for (const line of lines) passes.see(line);
      await goOn();
    }
  }
  counts = { ...counts, total: passes.lines };
  // Known from here on which file it is.
  let isRepeat = begun.etag !== '';
  await held.keep(cursor, counts);

  for (const pass of passes.needed()) {
    if (pass < cursor.pass) continue;
    if (pass > cursor.pass) cursor = { ...cursor, pass, offset: 0, line: 1 };
    let page = new Page();
    const carryOut = async (): Promise<void> => {
      const { unchanged, failed, errors } = await importPage(page.entries, isRepeat, parts, parts.now());
      isRepeat = false;
      counts = {
        total: counts.total,
        done: counts.done + page.entries.length,
        unchanged: counts.unchanged + unchanged,
        failed: counts.failed + failed,
      };
      cursor = { ...cursor, offset: page.end, line: page.lastLine + 1 };
      page = new Page();
      keptAt = held.monotonic();
      await held.keep(cursor, counts, errors);
      if (counts.failed > limits.registryJobErrorsMax) {
        await writeErrors(held, container, parts.records);
        throw new JobFailed(`More than ${limits.registryJobErrorsMax} lines could not be taken.`);
      }
    };
    if (cursor.offset < file.bytes) {
      const { offset, line } = cursor;
      for await (const lines of linesOf(await open(offset), { offset, line }, limits.registryJobLineBytesMax)) {
        for (const each of lines) {
          if (passes.passOf(each) !== pass) continue;
          const entry = entryOf(each, parts.readTwin);
          if (!page.hasRoomFor(each, entry)) await carryOut();
          page.add(each, entry);
        }
        await goOn();
      }
    }
    if (page.entries.length > 0) await carryOut();
  }
  const { configurationsName } = plan;
  // They come last: devices are there then, which they are for.
  if (configurationsName !== null && parts.configurations !== undefined && cursor.pass < passNames.length) {
    const { done, ...taken } = await takeConfigurations(container, configurationsName, parts.configurations, goOn);
    counts = {
      total: counts.total + done,
      done: counts.done + done,
      unchanged: counts.unchanged + taken.unchanged,
      failed: counts.failed + taken.failed,
    };
    cursor = { ...cursor, pass: passNames.length };
    await held.keep(cursor, counts, taken.errors);
  }
  if (counts.failed > 0) await writeErrors(held, container, parts.records);
}

/** A container elsewhere may send more than it has said. */
async function* bounded(body: AsyncIterable<Uint8Array>, bytesMax: number): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes > bytesMax) throw new JobFailed('The container sends more than the file has.');
    yield piece;
  }
}

/** Lines that are carried out together: no two of them name the same identity. */
class Page {
  readonly entries: PageEntry[] = [];
  readonly #names = new Set<string>();
  #bytes = 0;
  end = 0;
  lastLine = 0;

  hasRoomFor({ bytes }: Line, entry: PageEntry): boolean {
    if (this.entries.length === 0) return true;
    if (this.entries.length >= limits.registryJobPageLines) return false;
    return this.#bytes + (bytes?.length ?? 0) <= limits.registryJobPageBytes && !this.#names.has(nameOf(entry));
  }

  add(line: Line, entry: PageEntry): void {
    this.entries.push(entry);
    this.#names.add(nameOf(entry));
    this.#bytes += line.bytes?.length ?? 0;
    [this.end, this.lastLine] = [line.end, line.number];
  }
}

/** Neither id holds a slash. */
const nameOf = ({ named: { deviceId, moduleId }, line }: PageEntry): string =>
  deviceId === undefined ? `line ${line}` : `${deviceId}/${moduleId ?? ''}`;

function entryOf({ number: line, bytes }: Line, readTwin: ReadTwin): PageEntry {
  if (bytes === undefined) {
    const text = `The line is longer than ${limits.registryJobLineBytesMax} bytes.`;
    return { line, named: {}, item: new HubError('ArgumentInvalid', text) };
  }
  let parsed: JsonObject | undefined;
  try {
    parsed = parseLine(bytes);
    return { line, named: namedIn(parsed), item: readItem(parsed, readTwin) };
  } catch (error) {
    if (!(error instanceof HubError)) throw error;
    return { line, named: parsed === undefined ? {} : namedIn(parsed), item: error };
  }
}

/** What could not be taken, for the back end: written when all is done, out of what was kept with each page. */
async function writeErrors(
  held: HeldJob,
  container: JobContainer,
  records: Pick<RegistryJobStore, 'errors'>,
): Promise<void> {
  const ids: string[] = [];
  let bytes = 0;
  let after = -1;
  for (;;) {
    const kept = await records.errors(held.job.id, after, ERROR_PAGES);
    if (kept.length === 0) break;
    after = kept[kept.length - 1].position;
    const block = Buffer.from(kept.map(({ text }) => text).join(''));
    ids.push(blockId(ids.length));
    await container.stage(ERRORS_FILE, ids[ids.length - 1], block);
    bytes += block.length;
    await held.turn();
  }
  if (ids.length > 0) await container.commit(ERRORS_FILE, ids, bytes);
}

/** Kept pages of errors in one block: each has a hundred lines at most. */
const ERROR_PAGES = 100;
