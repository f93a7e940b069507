/** Imports and exports of the registry, the errors of imports by page, and a row by which one at a time is created. */
export const registryJobs: readonly string[] = [
  `create table registry_jobs (
    id text not null primary key,
    created_time bigint not null,
    plan text not null,
    state text not null,
    reason text not null,
    counts text not null,
    work text not null,
    started_time bigint,
    ended_time bigint,
    holder text not null,
    held_until bigint not null
  )`,
  `create unique index registry_jobs_open on registry_jobs ((1)) where ended_time is null`,
  `create index registry_jobs_time on registry_jobs (created_time)`,
  `create table registry_job_errors (
    job text not null,
    position integer not null,
    text text not null,
    primary key (job, position)
  )`,
];
