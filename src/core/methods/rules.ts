import { isUtf8 } from 'node:buffer';
import { scanJson } from '../../base/json-scan.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../errors.ts';
import type { MethodRequest } from './types.ts';

/** Printable ASCII without separators (twins reference 5): the name is a part of a topic. A star parts component and command. */
const namePattern = /^[!#%&'*+\-.0-9A-Z^_`a-z|~]+$/;

/** @throws HubError ArgumentInvalid, MessageTooLarge */
export function checkMethod({ name, payload, responseMs, connectMs }: MethodRequest): void {
  if (name.length > limits.methodNameCharsMax || !namePattern.test(name)) {
    const text = `A method name has 1 to ${limits.methodNameCharsMax} printable ASCII characters without $ ( ) < > @ , ; : \\ " / [ ] ? = { } and blanks.`;
    throw new HubError('ArgumentInvalid', text);
  }
  checkSeconds('responseTimeoutInSeconds', responseMs, limits.methodResponseMsMin, limits.methodResponseMsMax);
  checkSeconds('connectTimeoutInSeconds', connectMs, 0, limits.methodConnectMsMax);
  const bytes = payload === undefined ? 0 : Buffer.byteLength(payload);
  if (bytes > limits.methodBytesMax) {
    throw new HubError('MessageTooLarge', `The payload of a method has at most ${limits.methodBytesMax} bytes.`, {
      limit: { name: 'methodBytesMax', scope: 'method', current: bytes, max: limits.methodBytesMax },
    });
  }
}

function checkSeconds(name: string, ms: number, min: number, max: number): void {
  if (Number.isFinite(ms) && ms >= min && ms <= max) return;
  throw new HubError('ArgumentInvalid', `${name} lies between ${min / 1000} and ${max / 1000}.`);
}

const STATUS_MAX = 2 ** 31 - 1;

/** Clients read the status as an integer of 32 bits. @throws HubError BadDeviceResponse */
export function checkStatus(status: number): void {
  if (Number.isInteger(status) && status <= STATUS_MAX && status >= -STATUS_MAX - 1) return;
  throw new HubError('BadDeviceResponse', 'The device answered with a status that is no integer of 32 bits.');
}

/**
 * The payload of a device's answer as JSON text; `null` where it wrote nothing.
 * @throws HubError BadDeviceResponse
 */
export function answeredPayload(bytes: Uint8Array): string {
  if (bytes.byteLength > limits.methodBytesMax) {
    throw new HubError('BadDeviceResponse', `The device answered with more than ${limits.methodBytesMax} bytes.`);
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8').trim();
  if (text === '') return 'null';
  try {
    if (!isUtf8(bytes)) throw new Error('not UTF-8');
    if (scanJson(bytes).depth > limits.methodDepthMax) throw new Error('too deep');
    JSON.parse(text);
    return text;
  } catch {
    throw new HubError('BadDeviceResponse', 'The device answered with something that is not JSON.');
  }
}

/** The device was asked, and has not answered in its time: in the words of the emulated service (twins reference 5). */
export const noAnswer = (): HubError =>
  new HubError('GatewayTimeout', 'Timed out waiting for the response from device.');
