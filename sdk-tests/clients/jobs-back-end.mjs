// azure-iothub: jobs over REST, by JobClient and Registry.
import iothub from 'azure-iothub';
import { job, report, serve } from './link.mjs';

const { connectionString } = await job();
const jobs = iothub.JobClient.fromConnectionString(connectionString);
const registry = iothub.Registry.fromConnectionString(connectionString);

/** With the body of the hub's answer: the SDK keeps its code there only. */
const told = async (work) => {
  try {
    return await work();
  } catch (error) {
    throw Object.assign(new Error(error.message), { name: error.name, code: String(error.responseBody ?? '') });
  }
};
/** The methods answer with the job, and its HTTP response beside it. */
const jobOf = (answer) => {
  const { jobId, type, status, queryCondition, deviceJobStatistics: of } = answer.jobStatus ?? answer;
  const statistics = of && { devices: of.deviceCount, succeeded: of.succeededCount, failed: of.failedCount };
  return { jobId, type, status, queryCondition, statistics };
};
const at = (time) => (time === null ? new Date() : new Date(time));
const pages = async (query) => {
  const rows = [];
  while (query.hasMoreResults) {
    const { result } = await query.next(query.continuationToken);
    rows.push(result);
  }
  return rows;
};

serve({
  twins: (id, condition, patch, time, seconds) =>
    told(async () => jobOf(await jobs.scheduleTwinUpdate(id, condition, patch, at(time), seconds))),
  methods: (id, condition, method, time, seconds) =>
    told(async () => jobOf(await jobs.scheduleDeviceMethod(id, condition, method, at(time), seconds))),
  get: (id) => told(async () => jobOf(await jobs.getJob(id))),
  cancel: (id) => told(async () => jobOf(await jobs.cancelJob(id))),
  list: (type, status, size) =>
    told(async () => (await pages(jobs.createQuery(type, status, size))).map((page) => page.map(jobOf))),
  records: (text, size) => told(() => pages(registry.createQuery(text, size))),
});
report('ready');
