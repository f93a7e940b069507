/** The tables of jobs, as `schema.ts` has them. */

export interface JobRow {
  id: string;
  kind: string;
  condition: string;
  /** JSON, `JobWork`. */
  work: string;
  created_time: number;
  created_by: string;
  start_time: number;
  max_execution_ms: number;
  /** `StoredStatus`. */
  status: string;
  /** 1 while something is to be done with it: also the rest of one that was cancelled. */
  is_open: number;
  /** 0 = not yet, as below. */
  started_time: number;
  ended_time: number;
  reason: string;
  /** Records by their state. */
  waiting: number;
  running: number;
  completed: number;
  failed: number;
  cancelled: number;
  unknown: number;
  /** Where the selection goes on; empty = from the beginning, null = all are selected. */
  selection: string | null;
  /** The last device whose twin was updated. */
  done_device: string;
  done_module: string;
  /** Which node holds it; null = none. */
  node: string | null;
  fence: number;
  held_until: number;
}

export interface JobDeviceRow {
  job: string;
  device_id: string;
  module_id: string;
  /** Its place in `deviceStates`. */
  state: number;
  /** 1 while a device waits for its method, or is being asked. */
  asks: number;
  created_time: number;
  start_time: number;
  end_time: number;
  /** JSON, `DeviceResult`; empty = none. */
  result: string;
}
