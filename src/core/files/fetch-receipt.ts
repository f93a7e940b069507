import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { Recorder } from '../monitoring/types.ts';
import type { ByteSource, OpenObject } from './object-store.ts';
import type { OpenPart } from './open-part.ts';
import type { GrantRecords } from './ports.ts';
import type { FetchProgress, FileGrant } from './types.ts';

export interface ReceiptParts {
  readonly grants: Pick<GrantRecords, 'find' | 'progress'>;
  readonly recorder: Recorder;
  readonly tellings: FetchTellings;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * When monitoring was told last of each grant: a device that fetches in small ranges would fill the stream, while the receipt says
 * the same.
 */
export class FetchTellings {
  /** Monotonic times, the oldest first. */
  readonly #told = new Map<string, number>();

  /** Whether it is time to tell of a grant again; then it counts as told. @param isNews nothing of this was told before */
  isDue(grantId: string, isNews: boolean, now: number): boolean {
    const last = this.#told.get(grantId);
    if (!isNews && last !== undefined && now - last < limits.fileFetchedEveryMs) return false;
    this.#told.delete(grantId);
    this.#told.set(grantId, now);
    for (const [oldest, at] of this.#told) {
      if (this.#told.size <= limits.fileFetchesRememberedMax && now - at < limits.fileFetchedEveryMs) break;
      this.#told.delete(oldest);
    }
    return true;
  }
}

/** The same open file; how far its bytes were taken is written into the grant's receipt when the reading ends, however it ends. */
export function fetching(open: OpenPart, grant: FileGrant, parts: ReceiptParts): OpenPart {
  const start = open.range?.start ?? 0;
  return { ...open, body: counted(open.body, (count) => note(open, grant, start, count, parts)) };
}

async function* counted(source: ByteSource, ended: (count: number) => Promise<void>): ByteSource {
  let count = 0;
  try {
    for await (const chunk of source) {
      // Counted when more is asked for: the chunk before has left then.
      yield chunk;
      count += chunk.length;
    }
  } finally {
    await ended(count);
  }
}

async function note(
  open: OpenObject,
  grant: FileGrant,
  start: number,
  count: number,
  parts: ReceiptParts,
): Promise<void> {
  const { etag, bytes } = open.facts;
  const { recorder, clock, log } = parts;
  try {
    // Another request of the same device may have ended meanwhile.
    const before = (await parts.grants.find(grant.id))?.fetched;
    const progress = progressOf(before, { etag, bytes, start, count, now: clock.now() });
    await parts.grants.progress(grant.id, progress);
    const isNews =
      before?.etag !== etag || (before.completedTime === undefined && progress.completedTime !== undefined);
    if (!parts.tellings.isDue(grant.id, isNews, clock.monotonic())) return;
    const { deviceId, moduleId } = grant.key;
    recorder.record({
      type: 'fileFetched',
      deviceId,
      ...(moduleId !== undefined && { moduleId }),
      correlationId: grant.id,
      file: grant.path,
      bytes,
      sentBytes: progress.sentBytes,
    });
  } catch (error) {
    log.error({ grant: grant.id, error }, 'the receipt of a file could not be written');
  }
}

/** What is known after `count` bytes from `start` on were sent. Only what joins the bytes from the first on counts. */
export function progressOf(
  before: FetchProgress | undefined,
  sent: {
    readonly etag: string;
    readonly bytes: number;
    readonly start: number;
    readonly count: number;
    readonly now: number;
  },
): FetchProgress {
  const { etag, bytes, start, count, now } = sent;
  const known = before?.etag === etag ? before : undefined;
  const reached = known?.sentBytes ?? 0;
  const sentBytes = start <= reached ? Math.max(reached, start + count) : reached;
  return {
    etag,
    bytes,
    sentBytes,
    firstTime: known?.firstTime ?? now,
    lastTime: now,
    completedTime: known?.completedTime ?? (sentBytes >= bytes ? now : undefined),
  };
}
