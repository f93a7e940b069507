import { limits } from '../../../base/limits.ts';
import type { Shares } from '../../../base/shares.ts';
import { HubError } from '../../../core/errors.ts';
import { identityName } from '../../../core/identity/permissions.ts';
import { shareName } from '../../../core/identity/share-name.ts';
import type { Principal } from '../../../core/identity/types.ts';
import { readCommand } from '../command-mapping.ts';
import type { DeliveryMark, IncomingLink } from '../engine/incoming-link.ts';
import type { LinkHost } from '../link-host.ts';

/**
 * Takes commands from a back end (service reference 4.1). Each is answered when it is stored, or with its refusal. Those to
 * one device are stored one after another, so that they keep the order in which they came; those to different devices
 * wait for each other as little as the store lets them.
 * @param principal who sends: asked for every command, because a token may have ended or been renewed.
 */
export function openCommandIntake(link: IncomingLink, host: LinkHost, principal: () => Principal): void {
  /** The last command to each device that is not stored yet. */
  const last = new Map<string, Promise<void>>();
  const { commandBytes } = host;
  link.onMessage = (delivery) => {
    try {
      const holder = shareName(principal());
      const bytes = delivery.payload.length;
      const { target, message } = readCommand(delivery.payload);
      if (!commandBytes.take(holder, bytes)) throw tooMuch(holder, commandBytes);
      const mark = { id: delivery.id, isSettled: delivery.isSettled };
      const name = identityName(target);
      const turn = (last.get(name) ?? Promise.resolve())
        .then(() => host.hub.commands.send(principal(), target, message))
        .then(
          () => link.settle(mark, { kind: 'accepted' }),
          (error) => refuse(link, host, mark, error),
        )
        .then(() => {
          commandBytes.give(holder, bytes);
          if (last.get(name) === turn) last.delete(name);
        });
      last.set(name, turn);
    } catch (error) {
      refuse(link, host, delivery, error);
    }
  };
  link.open({ creditMax: limits.amqpCommandsInflightMax, messageBytesMax: limits.telemetryBytesMax });
}

function tooMuch(scope: string, bytes: Shares): HubError {
  const name = 'amqpCommandsBytesPerPolicyMax';
  const limit = { name, scope, current: bytes.heldBy(scope), max: limits[name] };
  return new HubError('ThrottlingException', 'Too many commands of this caller are not stored yet.', { limit });
}

function refuse(link: IncomingLink, host: LinkHost, delivery: DeliveryMark, refusal: unknown): void {
  link.settle(delivery, { kind: 'rejected', error: host.error(refusal) });
}
