/** Names of files -> paths in the container. Pure. */
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import type { IdentityKey } from '../identity/types.ts';

/** Stands between a device's id and a module's, where no name of the device's own may stand. */
const MODULES = '$modules';

/** The part that belongs to no device: files that back ends put for many. No id holds a `~`. */
export const HUB_FOLDER = '~hub/';

/** The path of a file that back ends put for many devices. @throws HubError ArgumentInvalid */
export function hubPathOf(name: string): string {
  const objection = objectionTo(name);
  if (objection !== undefined) throw new HubError('ArgumentInvalid', `The file name ${objection}.`);
  return HUB_FOLDER + name;
}

/** The part of the container that belongs to an identity; ends in a slash. */
export function folderOf({ deviceId, moduleId }: IdentityKey): string {
  return moduleId === undefined ? `${deviceId}/` : `${deviceId}/${MODULES}/${moduleId}/`;
}

/**
 * The path of a file that an identity names: never outside of its own part of the container.
 * @throws HubError ArgumentInvalid, ArgumentNull
 */
export function pathOf(key: IdentityKey, name: string): string {
  const objection = objectionTo(name);
  if (objection !== undefined) throw new HubError('ArgumentInvalid', `The file name ${objection}.`);
  if (key.moduleId === undefined && (name === MODULES || name.startsWith(`${MODULES}/`))) {
    throw new HubError('ArgumentInvalid', `The file name begins with ${MODULES}, which is kept for modules.`);
  }
  return folderOf(key) + name;
}

/** What is wrong with a name, as the end of a sentence; undefined = nothing. */
export function objectionTo(name: string): string | undefined {
  if (name === '') return 'is empty';
  if (name.length > limits.fileNameCharsMax) return `is longer than ${limits.fileNameCharsMax} characters`;
  if (!name.isWellFormed()) return 'is not well-formed Unicode';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  if (/[\u0000-\u001f\u007f\\]/.test(name)) return 'holds a control character or a backslash';
  const segments = name.split('/');
  if (segments.length > limits.fileNameSegmentsMax) return `has more than ${limits.fileNameSegmentsMax} segments`;
  if (segments.some((segment) => segment === '.' || segment === '..')) return 'has a segment that is . or ..';
  if (segments.some((segment) => segment === '')) return 'has an empty segment';
  return undefined;
}

/** The path as it stands in a URL: each segment encoded, slashes kept. */
export function urlPathOf(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}

/**
 * Java's storage libraries write a blank of the name as `+`, and a plus, too (files reference 0.4): whether a path that has
 * come in a URL may be this one.
 */
export function isMeant(path: string, received: string): boolean {
  return blanksFolded(path) === blanksFolded(received);
}

/** What is the same of all paths that such a URL may mean. */
export function blanksFolded(path: string): string {
  return path.replaceAll('+', ' ');
}

/** Whose part of the container a path lies in. */
export function ownerOf(path: string): IdentityKey {
  const [deviceId, modules, moduleId] = path.split('/');
  const key = { deviceId, moduleId };
  return modules === MODULES && moduleId !== undefined && path.startsWith(folderOf(key)) ? key : { deviceId };
}
