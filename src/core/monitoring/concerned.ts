import { limits } from '../../base/limits.ts';
import type { IdentityKey } from '../identity/types.ts';
import type { Concerned } from './types.ts';

/** A text from outside, short enough for an event. */
export function clipped(text: string): string {
  return text.length > limits.monitoringTextCharsMax ? `${text.slice(0, limits.monitoringTextCharsMax)}…` : text;
}

/** The identity that an event is about; ids that nobody has checked yet may be of any length. */
export function concerning({ deviceId, moduleId }: IdentityKey): Pick<Concerned, 'deviceId' | 'moduleId'> {
  return { deviceId: clipped(deviceId), ...(moduleId !== undefined && { moduleId: clipped(moduleId) }) };
}
