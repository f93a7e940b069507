/** What a stream can tell of, as its address names it. */

import { limits } from '../../../../base/limits.ts';
import { HubError } from '../../../../core/errors.ts';
import { isIdentityId } from '../../../../core/identity/rules.ts';

export type Topic =
  | { readonly kind: 'overview' | 'monitoring' | 'telemetry' }
  /** `after`: the sequence number of the last message that the page has. */
  | { readonly kind: 'device'; readonly deviceId: string; readonly after?: number };

/** The text that a topic has in answers: without the place to go on from. */
export const topicName = (topic: Topic): string => (topic.kind === 'device' ? `device:${topic.deviceId}` : topic.kind);

/**
 * Topics by their names; the same one twice is one.
 * @throws HubError ArgumentInvalid
 */
export function parseTopics(texts: readonly unknown[]): ReadonlyMap<string, Topic> {
  if (texts.length > limits.portalTopicsMax) {
    throw new HubError('ArgumentInvalid', `A stream has ${limits.portalTopicsMax} topics at most.`);
  }
  const topics = texts.map(parseTopic);
  return new Map(topics.map((topic) => [topicName(topic), topic]));
}

function parseTopic(text: unknown): Topic {
  if (text === 'overview' || text === 'monitoring' || text === 'telemetry') return { kind: text };
  const match = typeof text === 'string' ? /^device(?:@(\d{1,15}))?:(.+)$/s.exec(text) : null;
  if (match === null || !isIdentityId(match[2])) {
    throw new HubError(
      'ArgumentInvalid',
      'A topic is overview, monitoring, telemetry, device:ID, or device@SEQUENCE:ID to go on behind that message.',
    );
  }
  const [, after, deviceId] = match;
  return { kind: 'device', deviceId, ...(after !== undefined && { after: Number(after) }) };
}
