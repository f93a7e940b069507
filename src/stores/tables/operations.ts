/**
 * Every operation of the tables by name: what crosses a thread is a name and plain data, never a function. Each runs in a
 * transaction that is open, and is atomic in it: the embedded store commits many together, a cluster each on its own.
 */
import type { StepTerms } from '../../core/configurations/ports.ts';
import type { ConsumerGroup } from '../../core/events/ports.ts';
import type { IdentityWrite } from '../../core/identity/ports.ts';
import type { IdentityKey, Policy } from '../../core/identity/types.ts';
import type { Subscription } from '../../core/presence/ports.ts';
import type { StoredPresence } from '../../core/presence/states.ts';
import type { RegistryJob } from '../../core/registry-jobs/types.ts';
import type { RouteSet } from '../../core/routes/types.ts';
import {
  createAuthority,
  deleteAuthority,
  keepIntermediate,
  listAuthorities,
  listIntermediates,
  replaceAuthority,
} from './authorities.ts';
import { commandDepths, commandSums, commandTrail, deadCommands, findCommands } from './command-lookup.ts';
import { dropReceipts, lockReceipts, settleReceipts } from './command-receipts.ts';
import { enqueueCommand } from './command-sending.ts';
import {
  forgetCommands,
  lockNextCommands,
  purgeCommands,
  releaseHolder,
  removeEndedCommands,
  settleCommand,
  sweepCommands,
} from './commands.ts';
import { settleMissing, stepConfigurations, unprepared } from './configuration-steps.ts';
import {
  createConfiguration,
  deleteConfiguration,
  getConfiguration,
  listConfigurations,
  replaceConfiguration,
  restConfigurations,
  waitingIdentities,
} from './configurations.ts';
import { createConsumerGroup, deleteConsumerGroup, listConsumerGroups } from './consumer-groups.ts';
import {
  findGrant,
  findGrantByName,
  forgetGrants,
  grantFiles,
  listGrants,
  noteProgress,
  revokeGrant,
  sweepGrants,
} from './file-grants.ts';
import {
  closeUpload,
  fileTotals,
  findUpload,
  forgetUploads,
  lockNotification,
  openUpload,
  settleNotification,
  sweepFiles,
} from './file-records.ts';
import {
  advanceRollout,
  createRollout,
  findRollout,
  listRollouts,
  rolloutTargets,
  runningRollouts,
  settleTargets,
  sweepRollouts,
} from './file-rollouts.ts';
import { countIdentities, getIdentity, listChildren, listDevices, listModules, writeIdentities } from './identities.ts';
import { dismissDevices, selectDevices, updateJobTwins } from './job-devices.ts';
import { beginDevices, settleDevices, waitingDevices } from './job-methods.ts';
import { cancelJob, claimJobs, createJob, endJob, findJob, jobTotals, listJobs, sweepJobs } from './jobs.ts';
import type { KeyCipher } from './key-cipher.ts';
import { touchFacts } from './migrations.ts';
import { loadPolicies, savePolicies } from './policies.ts';
import { beginPresence, endPresence, getPresence, recoverPresence, savePresence } from './presence-states.ts';
import {
  advanceRegistryJob,
  cancelRegistryJob,
  claimRegistryJob,
  createRegistryJob,
  endRegistryJob,
  findRegistryJob,
  isRegistryJobOpen,
  listRegistryJobs,
  registryJobErrors,
  registryPage,
  releaseRegistryJob,
  sweepRegistryJobs,
} from './registry-jobs.ts';
import {
  claimCursors,
  cursorRows,
  listCursors,
  loadRoutes,
  releaseCursor,
  replaceRoutes,
  routesNumber,
  saveCursor,
} from './routes.ts';
import type { Transaction } from './schema.ts';
import { dropSecrets, findSecret, hubSecret, replaceSecret } from './secrets.ts';
import { loadSubscriptions, removeSubscriptions, saveSubscriptions } from './subscriptions.ts';
import { changeTwin } from './twin-changes.ts';
import { begunTwinEvents, dropTwinEvents, keepBegunTwinEvents, twinEvents } from './twin-events.ts';
import { desiredNewer, desiredSince, desiredVersion, loadTwin, nameModel, reportTwins } from './twins.ts';

type Run<Args extends readonly unknown[], Result> = (tx: Transaction, ...args: Args) => Promise<Result>;

interface Operation<Args extends readonly unknown[], Result> {
  /** Whether the answer must wait for the disk. */
  readonly writes: boolean;
  /** It is one statement where `engineOf(tx).locksRows`, and so a transaction by itself there. */
  readonly isOneStatement?: true;
  readonly run: Run<Args, Result>;
}

const read = <Args extends readonly unknown[], Result>(run: Run<Args, Result>): Operation<Args, Result> => ({
  writes: false,
  run,
});
const write = <Args extends readonly unknown[], Result>(run: Run<Args, Result>): Operation<Args, Result> => ({
  writes: true,
  run,
});

/** @see Operation.isOneStatement */
const writeAtOnce = <Args extends readonly unknown[], Result>(run: Run<Args, Result>): Operation<Args, Result> => ({
  writes: true,
  isOneStatement: true,
  run,
});

export function tableOperations(cipher: KeyCipher) {
  const prepared = unprepared();
  return {
    'identities.get': read((tx, key: IdentityKey) => getIdentity(tx, cipher, key)),
    'identities.listDevices': read((tx, page: { readonly after?: string; readonly limit: number }) =>
      listDevices(tx, cipher, page),
    ),
    'identities.listModules': read((tx, deviceId: string) => listModules(tx, cipher, deviceId)),
    'identities.listChildren': read((tx, scope: string, page: { readonly after?: string; readonly limit: number }) =>
      listChildren(tx, cipher, scope, page),
    ),
    'identities.counts': read((tx) => countIdentities(tx)),
    'identities.write': write((tx, writes: readonly IdentityWrite[], eventTime?: number) =>
      writeIdentities(tx, cipher, writes, eventTime),
    ),
    'registryJobs.create': write((tx, job: RegistryJob) => createRegistryJob(tx, cipher, job)),
    'registryJobs.find': read((tx, id: string) => findRegistryJob(tx, cipher, id)),
    'registryJobs.isOneOpen': read(isRegistryJobOpen),
    'registryJobs.list': read((tx, limit: number) => listRegistryJobs(tx, cipher, limit)),
    'registryJobs.claim': write((tx, holder: string, leaseMs: number, now: number) =>
      claimRegistryJob(tx, cipher, holder, leaseMs, now),
    ),
    'registryJobs.advance': write(advanceRegistryJob),
    'registryJobs.end': write(endRegistryJob),
    'registryJobs.cancel': write(cancelRegistryJob),
    'registryJobs.release': write(releaseRegistryJob),
    'registryJobs.errors': read(registryJobErrors),
    'registryJobs.sweep': write(sweepRegistryJobs),
    'registryJobs.page': read((tx, after: IdentityKey | undefined, limit: number) =>
      registryPage(tx, cipher, after, limit),
    ),
    'policies.load': read((tx) => loadPolicies(tx, cipher)),
    'policies.save': write((tx, policies: readonly Policy[]) => savePolicies(tx, cipher, policies)),
    'authorities.list': read(listAuthorities),
    'authorities.create': write(createAuthority),
    'authorities.replace': write(replaceAuthority),
    'authorities.delete': write(deleteAuthority),
    'authorities.intermediates': read(listIntermediates),
    'authorities.keepIntermediate': write(keepIntermediate),
    'consumerGroups.list': read((tx, eventHub: string) => listConsumerGroups(tx, eventHub)),
    'consumerGroups.create': write((tx, eventHub: string, group: ConsumerGroup, countMax: number) =>
      createConsumerGroup(tx, eventHub, group, countMax),
    ),
    'consumerGroups.delete': write((tx, eventHub: string, name: string) => deleteConsumerGroup(tx, eventHub, name)),
    'subscriptions.load': read((tx, key: IdentityKey, generationId: string) =>
      loadSubscriptions(tx, key, generationId),
    ),
    'subscriptions.save': writeAtOnce(
      (tx, key: IdentityKey, generationId: string, subscriptions: readonly Subscription[], now: number) =>
        saveSubscriptions(tx, key, generationId, subscriptions, now),
    ),
    'presence.begin': write((tx, node: string) => beginPresence(tx, node)),
    'presence.end': writeAtOnce((tx, node: string) => endPresence(tx, node)),
    'presence.get': read((tx, keys: readonly IdentityKey[]) => getPresence(tx, keys)),
    'presence.save': writeAtOnce((tx, node: string, states: readonly StoredPresence[]) =>
      savePresence(tx, node, states),
    ),
    'presence.recover': writeAtOnce((tx, node: string, count: number) => recoverPresence(tx, node, count)),
    'subscriptions.remove': writeAtOnce((tx, key: IdentityKey) => removeSubscriptions(tx, key)),
    'commands.enqueue': write(enqueueCommand),
    'commands.lockNext': write(lockNextCommands),
    'commands.settle': write(settleCommand),
    'commands.releaseHolder': write(releaseHolder),
    'commands.purge': write(purgeCommands),
    'commands.forget': write(forgetCommands),
    'commands.depths': read(commandDepths),
    'commands.sweep': write(sweepCommands),
    'commands.dead': read(deadCommands),
    'commands.find': read(findCommands),
    'commands.trail': read(commandTrail),
    'commands.removeEnded': write(removeEndedCommands),
    'commands.sums': read(commandSums),
    'receipts.lock': write(lockReceipts),
    'receipts.settle': write(settleReceipts),
    'receipts.drop': write(dropReceipts),
    'secrets.get': write((tx, name: string, fresh: string) => hubSecret(tx, cipher, name, fresh)),
    'secrets.find': read((tx, name: string) => findSecret(tx, cipher, name)),
    'secrets.replace': write((tx, name: string, secret: string) => replaceSecret(tx, cipher, name, secret)),
    'secrets.drop': write((tx, prefix: string, but: string) => dropSecrets(tx, prefix, but)),
    'files.open': write(openUpload),
    'files.find': read(findUpload),
    'files.close': write(closeUpload),
    'files.forget': write(forgetUploads),
    'files.lock': write(lockNotification),
    'files.settle': write(settleNotification),
    'files.sweep': write(sweepFiles),
    'files.totals': read(fileTotals),
    'twins.load': read(loadTwin),
    'twins.change': write(changeTwin),
    'twins.report': write(reportTwins),
    'twins.desiredVersion': read(desiredVersion),
    'twins.desiredNewer': read(desiredNewer),
    'twins.desiredSince': read(desiredSince),
    'twins.nameModel': write(nameModel),
    'twins.events': read(twinEvents),
    'twins.dropEvents': write(dropTwinEvents),
    'twins.begun': read(begunTwinEvents),
    'twins.keepBegun': writeAtOnce(keepBegunTwinEvents),
    'configurations.get': read(getConfiguration),
    'configurations.list': read(listConfigurations),
    'configurations.create': write(createConfiguration),
    'configurations.replace': write(replaceConfiguration),
    'configurations.delete': write(deleteConfiguration),
    'configurations.step': write((tx, terms: StepTerms) => stepConfigurations(tx, terms, prepared)),
    'configurations.settle': write(settleMissing),
    'configurations.rest': write(restConfigurations),
    'configurations.waiting': read(waitingIdentities),
    'grants.grant': write(grantFiles),
    'grants.find': read(findGrant),
    'grants.findByName': read(findGrantByName),
    'grants.list': read(listGrants),
    'grants.progress': write(noteProgress),
    'grants.revoke': write(revokeGrant),
    'grants.forget': write(forgetGrants),
    'grants.sweep': write(sweepGrants),
    'rollouts.create': write(createRollout),
    'rollouts.find': read(findRollout),
    'rollouts.list': read(listRollouts),
    'rollouts.running': read(runningRollouts),
    'rollouts.targets': read(rolloutTargets),
    'rollouts.settle': write(settleTargets),
    'rollouts.advance': write(advanceRollout),
    'rollouts.sweep': write(sweepRollouts),
    'jobs.create': write(createJob),
    'jobs.find': read(findJob),
    'jobs.list': read(listJobs),
    'jobs.cancel': write(cancelJob),
    'jobs.claim': write(claimJobs),
    'jobs.select': write(selectDevices),
    'jobs.updateTwins': write(updateJobTwins),
    'jobs.waiting': read(waitingDevices),
    'jobs.begin': write(beginDevices),
    'jobs.settle': write(settleDevices),
    'jobs.dismiss': write(dismissDevices),
    'jobs.end': write(endJob),
    'jobs.sweep': write(sweepJobs),
    'jobs.totals': read(jobTotals),
    'routes.load': read((tx) => loadRoutes(tx, cipher)),
    'routes.number': read(routesNumber),
    'routes.replace': write((tx, set: RouteSet, begins: readonly number[]) => replaceRoutes(tx, cipher, set, begins)),
    'cursors.claim': write(claimCursors),
    'cursors.save': write(saveCursor),
    'cursors.release': write(releaseCursor),
    'cursors.rows': read(cursorRows),
    'cursors.list': read(listCursors),
    'facts.touch': writeAtOnce((tx, characters: number) => touchFacts(tx, characters)),
  };
}

export type TableOperations = ReturnType<typeof tableOperations>;
export type OperationName = keyof TableOperations;
export type OperationResult<Name extends OperationName> = Awaited<ReturnType<TableOperations[Name]['run']>>;
export type OperationArgs<Name extends OperationName> =
  Parameters<TableOperations[Name]['run']> extends [unknown, ...infer Args] ? Args : never;
