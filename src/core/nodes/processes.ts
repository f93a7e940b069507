/**
 * Processes of nodes. What several nodes share belongs to a process, not to a name, so that one that was held and replaced meanwhile, under
 * its own name, holds nothing of what the newer one has; and a newer one takes what older ones of its name have left at once.
 */

/** @param random names the process among all that have had the name @param name has no slash */
export const processOf = (name: string, random: string): string => `${name}/${random}`;

/** Whether the two are of the same node, and not the same process. */
export function isOtherProcess(one: string, other: string): boolean {
  return one !== other && nameOf(one) === nameOf(other);
}

const nameOf = (id: string): string => id.split('/', 1)[0];

/** As which process a node asks for what nodes share. */
export interface Standing {
  /** By which it has joined last. */
  readonly id: string;
  readonly name: string;
  /** As `JoiningNode.folder`. */
  readonly folder: string;
  readonly hasJoined: boolean;
}

/** By which lease a node works; undefined = it is the only one, or has had none yet. */
export const termOf = (standing: Standing | undefined): string | undefined =>
  standing?.hasJoined === true ? standing.id : undefined;
