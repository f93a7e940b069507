/** Columns of a row group, each from what the group has kept of its rows. */
import type { ParquetType } from 'hyparquet';
import type { ByteWriter } from 'hyparquet-writer';
import type { PageIndexes } from 'hyparquet-writer/src/types.js';
import { type ColumnFacts, writeIndexed, writePlain, writeWhole } from './column-chunk.ts';
import type { ApplicationFacts } from './event-row.ts';
import { packDifferences, packRuns } from './pack-numbers.ts';
import { columnNamed } from './parquet-columns.ts';
import type { PlainValues } from './plain-values.ts';
import { Dictionary, type SharedValues } from './shared-values.ts';

export type Entries = ApplicationFacts['entries'];

/** Definition levels of the map of properties: of one without entries, of a name, of a value that is there. */
const [NO_ENTRY, NAME, VALUE] = [1, 2, 3];

export function writeNumbers(out: ByteWriter, name: string, values: Float64Array): PageIndexes {
  let least = values[0];
  let greatest = values[0];
  for (const value of values) {
    if (value < least) least = value;
    if (value > greatest) greatest = value;
  }
  const facts = { ...factsOf(name, values.length), bounds: { least, greatest } };
  return writeWhole(out, facts, 'DELTA_BINARY_PACKED', packDifferences(values));
}

/** @param values 1 = true */
export function writeBooleans(out: ByteWriter, name: string, values: Uint8Array): PageIndexes {
  const runs = packRuns(values, 1);
  const bytes = Buffer.allocUnsafe(4 + runs.length);
  bytes.writeUInt32LE(runs.length);
  bytes.set(runs, 4);
  return writeWhole(out, factsOf(name, values.length), 'RLE', bytes);
}

/** Values of which each row has one of its own, if any. */
export function writeOwn(out: ByteWriter, name: string, values: PlainValues): PageIndexes {
  const { slots } = values.pages[values.pages.length - 1];
  const facts = factsOf(name, slots);
  const isOptional = columnNamed(name).schema[0].repetition_type === 'OPTIONAL';
  return writePlain(out, { ...facts, ...(isOptional && { levels: oneLevel(values.isThere) }) }, values);
}

/** A value of what rows have in common. */
export function writeShared<Shared extends object>(
  out: ByteWriter,
  name: string,
  shared: SharedValues<Shared>,
  value: (shared: Shared) => string | Buffer | undefined,
): PageIndexes {
  const dictionary = new Dictionary();
  const ofShared = Int32Array.from(shared.distinct, (one) => dictionary.indexOf(value(one)));
  const { ofRows } = shared;
  const rows = ofRows.length;
  const indexes = new Int32Array(rows);
  const isThere = new Uint8Array(rows);
  // Loops: `map` and `from` of so many rows cost ten times as much.
  for (let row = 0; row < rows; row++) {
    const index = ofShared[ofRows[row]];
    indexes[row] = index;
    isThere[row] = index === -1 ? 0 : 1;
  }
  const facts = factsOf(name, rows);
  const isOptional = columnNamed(name).schema[0].repetition_type === 'OPTIONAL';
  const bounds = facts.saysBounds ? boundsOf(dictionary.values) : undefined;
  const known = { ...facts, ...(isOptional && { levels: oneLevel(isThere) }), ...(bounds && { bounds }) };
  return writeIndexed(out, known, dictionary.values, indexes);
}

/** The map of properties: names, and values. */
export function writeEntries(out: ByteWriter, shared: SharedValues<Entries>): PageIndexes[] {
  const [names, values] = [new Dictionary(), new Dictionary()];
  const ofShared = shared.distinct.map((entries) =>
    entries.map(({ key, value }) => ({ name: names.indexOf(key), value: values.indexOf(value) })),
  );
  const slots = ofShared.reduce((sum, entries, nth) => sum + shared.counts[nth] * Math.max(1, entries.length), 0);
  const repetition = new Uint8Array(slots);
  const nameLevels = new Uint8Array(slots);
  const valueLevels = new Uint8Array(slots);
  const nameIndexes = new Int32Array(slots).fill(-1);
  const valueIndexes = new Int32Array(slots).fill(-1);
  let slot = 0;
  for (const index of shared.ofRows) {
    const entries = ofShared[index];
    if (entries.length === 0) {
      nameLevels[slot] = valueLevels[slot] = NO_ENTRY;
      slot++;
    }
    for (let nth = 0; nth < entries.length; nth++, slot++) {
      repetition[slot] = nth === 0 ? 0 : 1;
      nameLevels[slot] = NAME;
      valueLevels[slot] = entries[nth].value === -1 ? NAME : VALUE;
      nameIndexes[slot] = entries[nth].name;
      valueIndexes[slot] = entries[nth].value;
    }
  }
  const leaf = (name: string, definition: Uint8Array, definitionMax: number): ColumnFacts => ({
    ...{ path: ['properties', 'key_value', name], type: 'BYTE_ARRAY', saysBounds: false },
    ...{ rows: shared.ofRows.length, levels: { definition, definitionMax, repetition } },
  });
  return [
    writeIndexed(out, leaf('key', nameLevels, NAME), names.values, nameIndexes),
    writeIndexed(out, leaf('value', valueLevels, VALUE), values.values, valueIndexes),
  ];
}

function factsOf(name: string, rows: number): ColumnFacts {
  const { schema, statistics } = columnNamed(name);
  return { path: [name], type: schema[0].type as ParquetType, saysBounds: statistics, rows };
}

const oneLevel = (definition: Uint8Array): NonNullable<ColumnFacts['levels']> => ({ definition, definitionMax: 1 });

/** As Parquet compares texts: by their bytes. */
function boundsOf(values: readonly Buffer[]): ColumnFacts['bounds'] {
  if (values.length === 0) return undefined;
  let [least] = values;
  let [greatest] = values;
  for (const value of values) {
    if (Buffer.compare(value, least) < 0) least = value;
    if (Buffer.compare(value, greatest) > 0) greatest = value;
  }
  return { least, greatest };
}
