/** Rows of registry jobs. */

/** At most one has no `ended_time`: an index says so. */
export interface RegistryJobRow {
  id: string;
  created_time: number;
  /** JSON, sealed. */
  plan: string;
  state: string;
  reason: string;
  /** JSON. */
  counts: string;
  /** JSON: the cursor. */
  work: string;
  started_time: number | null;
  ended_time: number | null;
  /** '' when nobody has it. */
  holder: string;
  held_until: number;
}

export interface RegistryJobErrorRow {
  job: string;
  position: number;
  text: string;
}
