/** A request as resources read it: what its options say, each of them checked once. */
import { isUtf8 } from 'node:buffer';
import { type Block, decodeBlock } from '../../wire/coap/blocks.ts';
import { type CoapMessage, type Code, codes, isCritical, options, uintValue } from '../../wire/coap/messages.ts';
import { type Answer, refusal } from './exchange.ts';

export interface Request {
  readonly code: Code;
  readonly token: Buffer;
  readonly path: readonly string[];
  /** `name=value` taken apart; a query without `=` has the value ''. In order. */
  readonly query: readonly (readonly [name: string, value: string])[];
  readonly contentFormat: number | undefined;
  readonly accept: number | undefined;
  /** 0 = register, 1 = deregister (RFC 7641 section 2). */
  readonly observe: number | undefined;
  readonly block1: Block | undefined;
  readonly block2: Block | undefined;
  readonly size1: number | undefined;
  readonly requestTag: string;
  readonly payload: Buffer;
}

/** Critical options that change nothing for a server of one name (RFC 7252 section 5.10.1), or are checked by resources. */
const understood = new Set<number>([
  options.uriHost,
  options.uriPort,
  options.uriPath,
  options.uriQuery,
  options.accept,
  options.block1,
  options.block2,
  options.proxyUri,
  options.proxyScheme,
]);

/** @returns the request, or the answer that refuses it */
export function readRequest(message: CoapMessage): Request | Answer {
  const path: string[] = [];
  const query: [string, string][] = [];
  const numbers = new Map<number, number>();
  const blocks = new Map<number, Block>();
  let requestTag = '';
  for (const { number, value } of message.options) {
    if (isCritical(number) && !understood.has(number))
      return refusal(codes.badOption, `critical option ${number} is not understood`);
    switch (number) {
      case options.proxyUri:
      case options.proxyScheme:
        return { code: codes.proxyingNotSupported };
      case options.uriPath:
      case options.uriQuery: {
        if (!isUtf8(value)) return refusal(codes.badOption, `option ${number} is not UTF-8`);
        const text = value.toString('utf8');
        if (number === options.uriPath) path.push(text);
        else {
          const equals = text.indexOf('=');
          query.push(equals === -1 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)]);
        }
        break;
      }
      case options.contentFormat:
      case options.accept:
      case options.observe:
      case options.size1: {
        const read = uintValue(value);
        // What repeats is as what is not understood (RFC 7252 section 5.4.5).
        if (read === undefined || (numbers.has(number) && isCritical(number)))
          return refusal(codes.badOption, `option ${number} is wrong`);
        if (!numbers.has(number)) numbers.set(number, read);
        break;
      }
      case options.block1:
      case options.block2: {
        const block = decodeBlock(value);
        if (block === undefined || blocks.has(number)) return refusal(codes.badOption, `option ${number} is wrong`);
        blocks.set(number, block);
        break;
      }
      case options.requestTag:
        requestTag += `${value.toString('hex')},`;
        break;
    }
  }
  return {
    code: message.code,
    token: message.token,
    path,
    query,
    contentFormat: numbers.get(options.contentFormat),
    accept: numbers.get(options.accept),
    observe: numbers.get(options.observe),
    block1: blocks.get(options.block1),
    block2: blocks.get(options.block2),
    size1: numbers.get(options.size1),
    requestTag,
    payload: message.payload,
  };
}

export const isRefusal = (read: Request | Answer): read is Answer => !('path' in read);

/** The first value of a query's name. */
export function queryOf(request: Request, name: string): string | undefined {
  for (const [key, value] of request.query) if (key === name) return value;
  return undefined;
}
