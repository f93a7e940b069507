import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { Commands } from '../commands/room.ts';
import type { Command } from '../commands/types.ts';
import type { DurabilityWaiter } from '../events/ports.ts';
import type { Events } from '../events/room.ts';
import type { Guarded } from '../identity/guard.ts';
import type { Admission } from '../presence/calls.ts';
import type { Call, DisconnectReason, Note } from '../presence/types.ts';

/** What a device connection uses of the hub. */
export interface DeviceHub {
  readonly admission: Guarded<Admission>;
  readonly events: Guarded<Events>;
  readonly commands: Guarded<Commands>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * A door's end of a device connection: what reaches the device. Called only while the connection has its identity's
 * place, except `drop`, which may also end one that is still claiming it.
 */
export interface DeviceReceiver {
  /** The place is lost: the door ends the connection. Called at most once, and never after `DeviceConnection.release`. */
  drop(reason: DisconnectReason): void;
  /** Commands may wait in the inbox. */
  commandsWait(): void;
  /** Something that the device is to be told (`Presence.notify`); a kind that the door does not know is ignored. */
  notify?(note: Note): void;
  /**
   * Asks the device (`Presence.invoke`). `signal` is aborted when the answer is not waited for any more.
   * @param begins To be called before the device hears of it: from then on the call is not tried again
   * @throws HubError OperationNotAvailable for a kind that the door does not know
   */
  invoke?(call: Call, signal: AbortSignal, begins: () => void): Promise<unknown>;
}

/** Why nothing more is taken from a device: it is over its rate, or too much of all devices waits for the disk. */
export type Slowing = 'rate' | 'congestion';

/** A door's end of a `TelemetrySender`. */
export interface TelemetryDoor extends DurabilityWaiter {
  /** To take nothing more from the device until `goOn` is called with the same word. */
  slow(by: Slowing): void;
  goOn(by: Slowing): void;
}

/** A door's end of a `CommandDelivery`. */
export interface CommandWire {
  /**
   * How many commands the device takes now; 0 = it is not subscribed, has given no credit, or does not read: the door
   * calls `proceed` when that is over. Asked only when something waits.
   */
  space(): number;
  /**
   * Writes a command. Its outcome is told by `CommandDelivery.settle`, which may be called before this returns.
   * False = the device takes nothing at the moment: the command is written again when the door calls `proceed`.
   */
  write(command: Command, lockToken: string): boolean;
  /** The lock is over: the device's outcome for it no longer counts. */
  forget(lockToken: string): void;
  /** The delivery does nothing until it is called. `nothingWaits` = nothing is left to write, and nothing known to take. */
  rests(nothingWaits: boolean): void;
  /** Commands could not be taken. True = the door has ended the delivery; else it is logged and tried again. */
  refused(error: unknown): boolean;
}
