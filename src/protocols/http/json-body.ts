/** JSON of request bodies: what it would make is counted on its bytes before it is parsed. */
import { scanJson } from '../../base/json-scan.ts';
import { limits } from '../../base/limits.ts';
import { HubError } from '../../core/errors.ts';

export interface JsonBounds {
  /** Values, names of members included, of the whole text. */
  readonly valuesMax: number;
  /** Elements of the array that the text is; absent = only `valuesMax` counts. */
  readonly elementsMax?: number;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Parses a body that is within `bounds`.
 * @throws HubError ArgumentInvalid when it is not, IotHubFormatError when it is no JSON in UTF-8.
 */
export function parseJson(body: Buffer, bounds: JsonBounds): unknown {
  const { valuesMax, elementsMax = Number.POSITIVE_INFINITY } = bounds;
  const { values, depth, elements } = scanJson(body, valuesMax);
  if (elements > elementsMax) {
    throw new HubError('ArgumentInvalid', `The body holds at most ${elementsMax} elements.`);
  }
  if (values > valuesMax) throw new HubError('ArgumentInvalid', `The body holds at most ${valuesMax} values.`);
  if (depth > limits.httpJsonDepthMax) {
    throw new HubError('ArgumentInvalid', `The body is nested at most ${limits.httpJsonDepthMax} deep.`);
  }
  try {
    return JSON.parse(utf8.decode(body));
  } catch {
    // The parser's own message quotes the text, in which keys may stand.
    throw new HubError('IotHubFormatError', 'The body is not JSON in UTF-8.');
  }
}

/**
 * An object of properties must not have one that is called `__proto__`: the checks that follow would leave it out without a
 * word, and what is accepted is not lost. @throws HubError ArgumentInvalid
 */
export function refusePrototypeName(properties: unknown): void {
  if (typeof properties !== 'object' || properties === null || !Object.hasOwn(properties, '__proto__')) return;
  throw new HubError('ArgumentInvalid', 'A property cannot be called __proto__ in JSON.');
}
