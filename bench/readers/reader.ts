/** Who reads in `telemetry-out`: counts events of every partition and looks at nothing in them. */
export interface ReaderOptions {
  readonly host: string;
  readonly port: number;
  /** PEM of the authority to trust; absent = plain TCP. */
  readonly ca?: string;
  readonly connectionString: string;
  readonly consumerGroup: string;
  readonly partitions: number;
  /** Goes up with every event; absent = only the end is told. */
  readonly tally?: { events: number };
}

/** Resolves with the milliseconds from the first credit to the last of `count` events, read from the start. */
export type ReadAll = (options: ReaderOptions, count: number) => Promise<number>;
