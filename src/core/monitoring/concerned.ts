import { limits } from '../../base/limits.ts';
import { ownText } from '../../base/text.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { Concerned } from './types.ts';

/** A text from outside, short enough for an event; events are kept for a while, so nothing of what it was cut out of. */
export function clipped(text: string): string {
  const { monitoringTextCharsMax: charsMax } = limits;
  return ownText(text.length > charsMax ? `${text.slice(0, charsMax)}…` : text);
}

/** The identity that an event is about; ids that nobody has checked yet may be of any length. */
export function concerning({ deviceId, moduleId }: IdentityKey): Pick<Concerned, 'deviceId' | 'moduleId'> {
  return { deviceId: clipped(deviceId), ...(moduleId !== undefined && { moduleId: clipped(moduleId) }) };
}
