/** Carries rollouts on, a step at a time: what is durable says where they are, so that a crash repeats at most one command. */
import type { Clock } from '../../base/clock.ts';
import { limits as bounds } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { type Random, uuid } from '../../base/random.ts';
import type { CommandMessage, CommandOutcome } from '../commands/types.ts';
import { HubError } from '../errors.ts';
import type { Guard, Guarded } from '../identity/guard.ts';
import type { IdentityKey } from '../identity/types.ts';
import { rolloutCalls } from './calls.ts';
import type { GrantRecords } from './ports.ts';
import type { Rollout, RolloutRecords, RolloutTarget, TargetChange } from './rollout-types.ts';
import type { GrantAnswer, Rollouts } from './room.ts';

/** What a step does to the rest of the hub. */
export interface RolloutMeans {
  /** Lets the device fetch the file. @throws HubError FileNotFound */
  grant(name: string, keys: readonly IdentityKey[], expiresAt: number, by: string): Promise<readonly GrantAnswer[]>;
  /** Puts a command into the device's queue. @throws HubError */
  tell(target: IdentityKey, message: CommandMessage): Promise<void>;
  /** How that command ended; undefined = it has not. */
  outcome(target: IdentityKey, messageId: string): Promise<CommandOutcome | undefined>;
}

export interface RolloutsParts {
  readonly guard: Guard;
  readonly records: RolloutRecords;
  readonly grants: Pick<GrantRecords, 'find'>;
  /** @throws HubError FileNotFound, DefaultStorageEndpointNotConfigured */
  demandFile(name: string): Promise<void>;
  readonly grantMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface RolloutsRoom {
  readonly rollouts: Guarded<Rollouts>;
  /** Carries on whatever runs. Called by the server, one call at a time. */
  step(means: RolloutMeans): Promise<void>;
}

export function createRollouts(parts: RolloutsParts): RolloutsRoom {
  const { records, grants, clock, random, log } = parts;

  async function known(id: string): Promise<Rollout> {
    const rollout = await records.find(id);
    if (rollout === undefined) throw new HubError('FileNotFound', 'There is no such rollout.');
    return rollout;
  }

  const rollouts: Rollouts = {
    async start(principal, name, keys, plan) {
      const unique = new Set(keys.map(({ deviceId, moduleId }) => JSON.stringify([deviceId, moduleId])));
      if (unique.size !== keys.length) throw new HubError('ArgumentInvalid', 'A device is named twice.');
      if (plan.fetchMs > parts.grantMs) {
        throw new HubError(
          'ArgumentInvalid',
          `A device has at most ${parts.grantMs / 1000} seconds to fetch the file.`,
        );
      }
      await parts.demandFile(name);
      const id = uuid(random);
      const now = clock.now();
      const createdBy = principal.kind === 'policy' ? principal.policyName : '';
      const begun = {
        id,
        name,
        createdTime: now,
        createdBy,
        plan,
        state: 'running',
        reason: '',
        notBefore: now,
        wave: 0,
      } as const;
      if ((await records.create(begun, keys, bounds.rolloutsRunningMax)) === 'full') {
        throw new HubError('IotHubQuotaExceeded', undefined, {
          limit: {
            name: 'rolloutsRunningMax',
            scope: 'hub',
            current: bounds.rolloutsRunningMax,
            max: bounds.rolloutsRunningMax,
          },
        });
      }
      return known(id);
    },
    get: (_principal, id) => known(id),
    list: (_principal, page) => records.list(page),
    async targets(_principal, id, of) {
      await known(id);
      return records.targets(id, of);
    },
    async stop(principal, id) {
      await known(id);
      const by = principal.kind === 'policy' ? principal.policyName : '';
      await records.advance(id, { state: 'stopped', reason: `stopped by policy ${by}` });
      return known(id);
    },
  };

  /** Behind which position the next look at the devices of a rollout begins; absent = at the first. */
  const looked = new Map<string, number>();

  async function step(rollout: Rollout, means: RolloutMeans, looksMax: number): Promise<void> {
    const { id, plan } = rollout;
    const after = looked.get(id);
    const told = await records.targets(id, { state: 'told', limit: looksMax, ...(after !== undefined && { after }) });
    const last = told.at(looksMax - 1);
    if (last === undefined) looked.delete(id);
    else looked.set(id, last.position);
    const over = (await Promise.all(told.map((target) => overIs(rollout, target, means)))).filter(
      (each) => each !== undefined,
    );
    if (over.length > 0) await records.settle(id, over);
    const { counts, notBefore } = over.length > 0 ? await known(id) : rollout;
    if (counts.told > 0) return;
    const ended = counts.fetched + counts.failed;
    if (over.length > 0) await records.advance(id, { notBefore: clock.now() + plan.pauseMs });
    if (ended > 0 && counts.failed / ended >= plan.failedShareMax && counts.failed > 0) {
      const reason = `${counts.failed} of ${ended} devices have failed`;
      await records.advance(id, { state: 'stopped', reason });
    } else if (counts.waiting === 0) await records.advance(id, { state: 'finished' });
    else if (over.length === 0 && notBefore <= clock.now()) await beginWave(rollout, means);
  }

  /** What became of a device that was told; undefined = it is still at it. */
  async function overIs(
    rollout: Rollout,
    target: RolloutTarget,
    means: RolloutMeans,
  ): Promise<TargetChange | undefined> {
    const { key: _key, ...kept } = target;
    const now = clock.now();
    const grant = await grants.find(target.grantId);
    if (grant?.fetched?.completedTime !== undefined) return { ...kept, state: 'fetched', time: now };
    if (grant === undefined)
      return { ...kept, state: 'failed', time: now, reason: 'its grant, or it itself, was removed' };
    const outcome = await means.outcome(target.key, messageIdOf(rollout, target));
    if (outcome !== undefined && outcome !== 'completed') {
      return { ...kept, state: 'failed', time: now, reason: `the command ended as ${outcome}` };
    }
    if (now < target.time + rollout.plan.fetchMs) return undefined;
    const { bytes, sentBytes } = grant.fetched ?? { bytes: 0, sentBytes: 0 };
    return { ...kept, state: 'failed', time: now, reason: `not fetched in time: ${sentBytes} of ${bytes} bytes` };
  }

  async function beginWave(rollout: Rollout, means: RolloutMeans): Promise<void> {
    const { id, name, plan, createdBy, wave } = rollout;
    const next = await records.targets(id, { state: 'waiting', limit: plan.waveSize });
    if (!(await records.advance(id, { wave: wave + 1 }))) return;
    const now = clock.now();
    const answers = await means.grant(
      name,
      next.map(({ key }) => key),
      now + plan.fetchMs,
      createdBy,
    );
    const changes = await Promise.all(
      next.map(async (target, nth): Promise<TargetChange> => {
        const { key, ...kept } = target;
        const { grant, error } = answers[nth];
        if (grant === undefined) return { ...kept, state: 'failed', time: now, reason: error ?? '' };
        try {
          await means.tell(key, commandOf(rollout, target, grant));
          return { ...kept, state: 'told', grantId: grant.id, time: now };
        } catch (refusal) {
          if (!(refusal instanceof HubError)) throw refusal;
          return { ...kept, state: 'failed', time: now, reason: refusal.code };
        }
      }),
    );
    await records.settle(id, changes);
  }

  return {
    rollouts: parts.guard.room(rollouts, rolloutCalls),
    async step(means) {
      const running = await records.running();
      const looksMax = Math.ceil(bounds.rolloutLooksMax / Math.max(1, running.length));
      for (const rollout of running) {
        try {
          await step(rollout, means, looksMax);
        } catch (error) {
          log.error({ rollout: rollout.id, error }, 'a rollout could not be carried on; it is tried again');
        }
      }
      await records.sweep(clock.now() - bounds.fileReceiptsKeptMs, bounds.sweepFilesMax);
    },
  };
}

/** The same for each try, so that a device that is told twice after a crash can tell. */
function messageIdOf({ id }: Rollout, { position }: RolloutTarget): string {
  return `${id}.${position}`;
}

/** What tells a device of its file. */
function commandOf(
  rollout: Rollout,
  target: RolloutTarget,
  { url, expiresAt }: NonNullable<GrantAnswer['grant']>,
): CommandMessage {
  const body = { file: rollout.name, url, expiresTimeUtc: new Date(expiresAt).toISOString() };
  return {
    messageId: messageIdOf(rollout, target),
    contentType: 'application/json',
    contentEncoding: 'utf-8',
    ack: 'none',
    properties: [['mooring-file', rollout.name]],
    body: Buffer.from(JSON.stringify(body)),
  };
}
