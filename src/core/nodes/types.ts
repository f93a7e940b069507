/** A process that serves the hub, among others. */
export interface NodeFacts {
  /** Names its process since it has joined last; never used again. */
  readonly id: string;
  /** The operator's name for it; one living node has it. */
  readonly name: string;
  /** Where other nodes reach it. */
  readonly address: string;
  readonly port: number;
  /** Of the program. */
  readonly version: string;
  /** UTC milliseconds, by the database's clock. */
  readonly startedTime: number;
  /** It takes no connections, and lets go of those it has. */
  readonly isDraining: boolean;
}
