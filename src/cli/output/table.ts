import { stripVTControlCharacters, styleText } from 'node:util';
import type { Output } from '../terminal.ts';

type Style = Parameters<typeof styleText>[0];

/** Colours for a person's terminal, plain text for everything else; `NO_COLOR` is heard. */
export function paint(output: Output, style: Style, text: string): string {
  return output.isTerminal ? styleText(style, text, { stream: output.stream as NodeJS.WriteStream }) : text;
}

export interface Column<Row> {
  readonly title: string;
  readonly align?: 'right';
  cell(row: Row): string;
}

/** Rows under a head line, columns aligned by the widest cell, two blanks between them. */
export function table<Row>(output: Output, columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = rows.map((row) => columns.map((column) => column.cell(row)));
  const widths = columns.map((column, at) => Math.max(column.title.length, ...cells.map((line) => width(line[at]))));
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, at) => {
        const room = ' '.repeat(widths[at] - width(text));
        return columns[at].align === 'right' ? room + text : text + room;
      })
      .join('  ')
      .trimEnd();
  const head = line(columns.map((column) => column.title.toUpperCase()));
  return [paint(output, 'dim', head), ...cells.map(line)].join('\n');
}

/** Names and values below each other, values aligned; absent values are left out. */
export function facts(
  output: Output,
  entries: readonly (readonly [name: string, value: string | undefined])[],
): string {
  const shown = entries.filter((entry): entry is readonly [string, string] => entry[1] !== undefined);
  const widest = Math.max(...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${paint(output, 'dim', name.padEnd(widest))}  ${value}`).join('\n');
}

const width = (text: string): number => stripVTControlCharacters(text).length;

/**
 * Text from outside as a terminal may show it: control characters, which could move the cursor or recolour the screen,
 * become visible escapes.
 */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that must not get through
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) => {
    const known: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };
    return known[character] ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}
