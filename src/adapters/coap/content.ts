/** Content formats (RFC 7252 section 12.3 and its registry) and the media types that events and commands have. */
import { type CoapOption, options, uintOption } from '../../wire/coap/messages.ts';

interface Format {
  readonly number: number;
  readonly contentType: string;
  readonly contentEncoding?: string;
}

export const JSON_FORMAT = 50;
export const TEXT_FORMAT = 0;
export const LINK_FORMAT = 40;
export const MERGE_PATCH_FORMAT = 52;

const formats: readonly Format[] = [
  { number: TEXT_FORMAT, contentType: 'text/plain', contentEncoding: 'utf-8' },
  { number: LINK_FORMAT, contentType: 'application/link-format', contentEncoding: 'utf-8' },
  { number: 41, contentType: 'application/xml', contentEncoding: 'utf-8' },
  { number: 42, contentType: 'application/octet-stream' },
  { number: 47, contentType: 'application/exi' },
  { number: JSON_FORMAT, contentType: 'application/json', contentEncoding: 'utf-8' },
  { number: MERGE_PATCH_FORMAT, contentType: 'application/merge-patch+json', contentEncoding: 'utf-8' },
  { number: 60, contentType: 'application/cbor' },
  { number: 110, contentType: 'application/senml+json', contentEncoding: 'utf-8' },
  { number: 112, contentType: 'application/senml+cbor' },
  { number: 11_542, contentType: 'application/vnd.oma.lwm2m+tlv' },
  { number: 11_543, contentType: 'application/vnd.oma.lwm2m+json', contentEncoding: 'utf-8' },
  { number: 11_544, contentType: 'application/vnd.oma.lwm2m+cbor' },
];

const byNumber = new Map(formats.map((format) => [format.number, format]));
const byType = new Map(formats.map((format) => [format.contentType, format.number]));

/** @returns undefined for a number that the hub does not know */
export const formatOf = (number: number): Omit<Format, 'number'> | undefined => byNumber.get(number);

/** The option for a media type; none for one that has no number here. Parameters are ignored. */
export function formatOption(contentType: string | undefined): readonly CoapOption[] {
  if (contentType === undefined) return [];
  const number = byType.get(contentType.split(';')[0].trim().toLowerCase());
  return number === undefined ? [] : [uintOption(options.contentFormat, number)];
}

export const jsonFormat: CoapOption = uintOption(options.contentFormat, JSON_FORMAT);
