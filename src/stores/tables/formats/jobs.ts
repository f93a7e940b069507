/** Jobs over many devices, and what became of each device of one. `docs/data-files.md` says what stands in them. */
export const jobsFormat: readonly string[] = [
  `create table jobs (
    id text not null primary key,
    kind text not null,
    condition text not null,
    work text not null,
    created_time bigint not null,
    created_by text not null,
    start_time bigint not null,
    max_execution_ms bigint not null,
    status text not null,
    is_open integer not null,
    started_time bigint not null,
    ended_time bigint not null,
    reason text not null,
    waiting bigint not null,
    running bigint not null,
    completed bigint not null,
    failed bigint not null,
    cancelled bigint not null,
    unknown bigint not null,
    selection text,
    done_device text not null,
    done_module text not null,
    node text,
    fence bigint not null,
    held_until bigint not null
  )`,
  `create index jobs_open on jobs (start_time, id) where is_open = 1`,
  `create index jobs_created on jobs (created_time, id)`,
  `create table job_devices (
    job text not null,
    device_id text not null,
    module_id text not null,
    state integer not null,
    asks integer not null,
    created_time bigint not null,
    start_time bigint not null,
    end_time bigint not null,
    result text not null,
    primary key (job, device_id, module_id)
  )`,
  // Of jobs of methods alone: those of twins go through their records once, in order.
  `create index job_devices_asks on job_devices (job, state, device_id, module_id) where asks = 1`,
  // Held by what looks for jobs: two nodes that look at a time would begin more of them than may run.
  `insert into facts (name, value) values ('jobs', '')`,
];
