/** What a payload may depend on. */
export interface PayloadFacts {
  readonly deviceId: string;
  /** Number of the message among those of its device, from 1 on. */
  readonly sequence: number;
  /** UTC milliseconds. */
  readonly time: number;
  /** A number from 0 up to 1, the next at each call. */
  random(): number;
}

export type Payload = (facts: PayloadFacts) => string;

/** What is sent when nothing else is asked for: a small reading in JSON, as sensors send it. */
export const defaultTemplate =
  '{"device":"{{device}}","sequence":{{sequence}},"time":"{{time}}","temperature":{{random 18 25}}}';

/**
 * Reads a template: text in which `{{device}}`, `{{sequence}}`, `{{time}}`, `{{random A B}}` (two decimals) and
 * `{{integer A B}}` stand for values.
 * @throws Error naming what is not one of them.
 */
export function payloadTemplate(template: string): Payload {
  const parts = template
    .split(/\{\{(.*?)\}\}/)
    .map((part, at) => (at % 2 === 0 ? () => part : placeholder(part.trim())));
  return (facts) => parts.map((part) => part(facts)).join('');
}

function placeholder(text: string): Payload {
  const [name, ...rest] = text.split(/\s+/);
  const [low = 0, high = 1] = rest.map(Number);
  const isRange = rest.length <= 2 && Number.isFinite(low) && Number.isFinite(high) && low <= high;
  if (rest.length === 0) {
    if (name === 'device') return ({ deviceId }) => deviceId;
    if (name === 'sequence') return ({ sequence }) => String(sequence);
    if (name === 'time') return ({ time }) => new Date(time).toISOString();
  }
  if (name === 'random' && isRange) return ({ random }) => (low + random() * (high - low)).toFixed(2);
  if (name === 'integer' && isRange) return ({ random }) => String(Math.floor(low + random() * (high - low + 1)));
  throw new Error(
    `{{${text}}} is not known: there are {{device}}, {{sequence}}, {{time}}, {{random A B}} and {{integer A B}}.`,
  );
}

/** Exactly `bytes` bytes: JSON with the device and the sequence number where they fit, else a run of digits. */
export function payloadOfSize(bytes: number): Payload {
  return ({ deviceId, sequence }) => {
    const head = `{"device":${JSON.stringify(deviceId)},"sequence":${sequence},"pad":"`;
    const room = bytes - Buffer.byteLength(head) - 2;
    if (room >= 0) return `${head}${'x'.repeat(room)}"}`;
    return bytes === 0 ? '' : String(sequence).padStart(bytes, '0').slice(-bytes);
  };
}
