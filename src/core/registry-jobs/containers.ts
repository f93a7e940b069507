/** Containers as jobs use them: whether they can be used at all, and what their refusals mean. */
import { HubError } from '../errors.ts';
import type { JobContainer, OpenContainer } from './ports.ts';
import type { JobPlan } from './types.ts';
import { objectErrorOf, PROBE_BLOCK } from './work.ts';

/** Reads from the one, writes to the other. */
export const both = (input: JobContainer, output: JobContainer): JobContainer => ({
  ...output,
  head: (name) => input.head(name),
  read: (name, start) => input.read(name, start),
});

/** What does not work now is told now, and not by a job that fails. @throws HubError BlobContainerValidationError */
export async function demandContainers(plan: JobPlan, open: OpenContainer): Promise<void> {
  const using = async (uri: string, work: (container: JobContainer) => Promise<void>): Promise<void> => {
    const container = await open(uri);
    try {
      await work(container);
    } catch (error) {
      if (objectErrorOf(error) === undefined) throw error;
      throw new HubError('BlobContainerValidationError', reasonOf(error));
    } finally {
      await container.close();
    }
  };
  if (plan.kind === 'export') {
    // A block that belongs to no file: dropped with the first commit.
    return using(plan.outputUri, (container) => container.stage(plan.outputName, PROBE_BLOCK, Buffer.from('\n')));
  }
  await using(plan.inputUri ?? '', async (container) => {
    for (const name of [plan.inputName, plan.configurationsName]) {
      if (name === null || (await container.head(name)) !== undefined) continue;
      throw new HubError('BlobContainerValidationError', `There is no file ${name} in the container.`);
    }
  });
  if (plan.outputUri !== plan.inputUri) await using(plan.outputUri, async () => {});
}

/** Whether another try may help. */
export function mayPass(error: unknown): boolean {
  if (objectErrorOf(error) !== undefined) return objectErrorOf(error)?.kind === 'unavailable';
  return error instanceof HubError && (error.code === 'ServiceUnavailable' || error.code === 'ThrottlingException');
}

/** Why a job failed, for the back end that has asked for it. */
export function reasonOf(error: unknown): string {
  if (error instanceof HubError) return error.message;
  const refusal = objectErrorOf(error);
  if (refusal === undefined) return 'The hub failed; its log says why.';
  switch (refusal.kind) {
    case 'denied':
      return 'The container refuses the hub: its signed address must be good still, for reading an input, and for writing an output.';
    case 'full':
      return 'The container has no more room.';
    case 'unavailable':
      return 'The container cannot be reached.';
    default:
      return `The container refuses the file (${refusal.kind}).`;
  }
}
