/** Files of JSON as Azure writes them: one object a line, with the fields of its Avro schema. */
import { limits } from '../../base/limits.ts';
import { azureMessage, saysJson } from './azure-message.ts';
import type { ArchiveEncoder } from './encoder.ts';
import { bodyOf, type EventRow } from './event-row.ts';
import { isJsonAt } from './json-text.ts';

export function jsonEncoder(): ArchiveEncoder {
  return new JsonEncoder();
}

class JsonEncoder implements ArchiveEncoder {
  #lines: string[] = [];
  #length = 0;
  #pieces: Uint8Array<ArrayBuffer>[] = [];

  add(row: EventRow): void {
    const { enqueuedTimeUtc, properties, systemProperties } = azureMessage(row);
    const head = JSON.stringify({
      EnqueuedTimeUtc: enqueuedTimeUtc,
      Properties: objectOf(properties),
      SystemProperties: objectOf(systemProperties),
    });
    const line = `${head.slice(0, -1)},"Body":${bodyValue(row)}}\n`;
    this.#lines.push(line);
    this.#length += line.length;
    if (this.#length >= limits.archivePieceBytes) this.#end();
  }

  take(): Uint8Array<ArrayBuffer>[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  finish(): Uint8Array<ArrayBuffer>[] {
    if (this.#length > 0) this.#end();
    return this.take();
  }

  #end(): void {
    this.#pieces.push(new TextEncoder().encode(this.#lines.join('')));
    this.#lines = [];
    this.#length = 0;
  }
}

/** The body's own text, but on one line: between the parts of a JSON text a line break is white space, within one there is none. */
function bodyValue(row: EventRow): string {
  const isJson = saysJson(row) && isJsonAt(row.view, row.bodyStart, row.bodyEnd);
  if (isJson)
    return bodyOf(row)
      .toString('utf8')
      .replaceAll(/[\r\n]/g, ' ');
  return JSON.stringify(bodyOf(row).toString('base64'));
}

/** No name can be one that objects have: it has no prototype. */
function objectOf(entries: readonly (readonly [name: string, value: string])[]): Record<string, string> {
  const object: Record<string, string> = Object.create(null);
  for (const [name, value] of entries) object[name] = value;
  return object;
}
