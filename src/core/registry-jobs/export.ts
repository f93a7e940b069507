/** Writes the registry to a file: page by page, in blocks that become the file all at once. */
import { limits } from '../../base/limits.ts';
import type { Identity } from '../identity/types.ts';
import type { JsonObject, Section, Twin } from '../twins/types.ts';
import { type ConfigurationLines, writeConfigurations } from './configuration-file.ts';
import type { JobContainer, RegistryPages } from './ports.ts';
import { type ExportRow, freshCursor, type JobCounts, type JobCursor } from './types.ts';
import { blockId, type HeldJob, JobFailed, objectErrorOf } from './work.ts';

export interface ExportParts {
  readonly pages: RegistryPages;
  /** Identities that there are, about. */
  total(): Promise<number>;
  readonly twins: TwinForms;
  readonly configurations: ConfigurationLines | undefined;
}

/** As the room of twins writes them. */
export interface TwinForms {
  etagOf(twin: Pick<Twin, 'changes'>): string;
  /** With `$metadata` and `$version`. */
  sectionJson(section: Section): JsonObject;
}

/** @throws JobStopped, JobFailed, ObjectError, HubError */
export async function runExport(held: HeldJob, container: JobContainer, parts: ExportParts): Promise<void> {
  const { outputName, configurationsName } = held.job.plan;
  if (configurationsName !== null && parts.configurations !== undefined) {
    await writeConfigurations(container, configurationsName, parts.configurations);
  }
  // Begun again where the blocks of before are gone; then they are all new.
  for (const isLast of [false, true]) {
    const isResumed = held.job.cursor.blocks > 0 && !isLast;
    const { cursor, counts } = await writeBlocks(held, container, parts, isLast);
    const ids = Array.from({ length: cursor.blocks }, (_, nth) => blockId(nth));
    try {
      await container.commit(outputName, ids, cursor.bytes);
      return await held.keep(cursor, counts);
    } catch (error) {
      if (objectErrorOf(error)?.kind !== 'unknownBlock' || isLast) throw error;
      // The file was made before the hub was killed, and that it was could not be kept.
      if (isResumed && (await container.head(outputName))?.bytes === cursor.bytes) return;
    }
  }
  throw new JobFailed('Blocks of the file were lost in the container.');
}

async function writeBlocks(
  held: HeldJob,
  container: JobContainer,
  parts: ExportParts,
  fromStart: boolean,
): Promise<{ readonly cursor: JobCursor; readonly counts: JobCounts }> {
  const { plan } = held.job;
  let cursor = fromStart ? freshCursor : held.job.cursor;
  let { done } = fromStart ? { done: 0 } : held.job.counts;
  const total = await parts.total();
  const counts = (): JobCounts => ({ total: Math.max(total, done), done, unchanged: 0, failed: 0 });
  let { after } = cursor;
  let keptAt = held.monotonic();
  for (let isEnd = false; !isEnd; ) {
    const lines: Buffer[] = [];
    let bytes = 0;
    let rows = 0;
    while (!isEnd && bytes < limits.registryJobBlockBytes) {
      const page = await parts.pages.page(after ?? undefined, limits.registryJobPageRows);
      for (const row of page) {
        const line = Buffer.from(`${exportLine(row, plan.excludesKeys, plan.withTwins, parts.twins)}\n`);
        lines.push(line);
        bytes += line.length;
      }
      rows += page.length;
      const last = page.at(-1)?.identity;
      if (last !== undefined) after = { deviceId: last.deviceId, ...(last.moduleId && { moduleId: last.moduleId }) };
      isEnd = page.length < limits.registryJobPageRows;
      await held.turn();
      if (held.monotonic() - keptAt > limits.registryJobLeaseMs / 3) {
        keptAt = held.monotonic();
        await held.keep(cursor, counts());
      }
    }
    if (bytes === 0 && cursor.blocks > 0) break;
    // An empty file has a block, too: of nothing at all no store makes a file.
    const block = bytes === 0 ? Buffer.from('\n') : Buffer.concat(lines);
    await container.stage(plan.outputName, blockId(cursor.blocks), block);
    done += rows;
    cursor = { ...cursor, after, blocks: cursor.blocks + 1, bytes: cursor.bytes + block.length };
    keptAt = held.monotonic();
    await held.keep(cursor, counts());
  }
  return { cursor, counts: { ...counts(), total: done } };
}

/** The form of the service's own exports (query reference 3): what an import takes. */
export function exportLine(
  { identity, twin }: ExportRow,
  excludesKeys: boolean,
  withTwins: boolean,
  forms: TwinForms,
): string {
  const { deviceId, moduleId, deviceScope, parentScopes, managedBy } = identity;
  return JSON.stringify({
    id: deviceId,
    ...(moduleId !== undefined && { moduleId }),
    eTag: identity.etag,
    ...(moduleId === undefined && { status: identity.status, statusReason: identity.statusReason ?? undefined }),
    authentication: authenticationJson(identity, excludesKeys),
    ...(withTwins && {
      twinETag: forms.etagOf(twin),
      tags: twin.tags,
      properties: { desired: forms.sectionJson(twin.desired), reported: forms.sectionJson(twin.reported) },
    }),
    ...(moduleId === undefined && { capabilities: identity.capabilities }),
    ...(deviceScope !== null && { deviceScope }),
    ...(parentScopes.length > 0 && { parentScopes }),
    ...(managedBy !== null && { managedBy }),
  });
}

function authenticationJson({ authentication }: Identity, excludesKeys: boolean) {
  const { type, symmetricKey, x509Thumbprint } = authentication;
  return {
    symmetricKey: {
      primaryKey: excludesKeys ? null : (symmetricKey?.primaryKey ?? null),
      secondaryKey: excludesKeys ? null : (symmetricKey?.secondaryKey ?? null),
    },
    x509Thumbprint: {
      primaryThumbprint: x509Thumbprint?.primaryThumbprint ?? null,
      secondaryThumbprint: x509Thumbprint?.secondaryThumbprint ?? null,
    },
    type,
  };
}
