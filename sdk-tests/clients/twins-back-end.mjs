// azure-iothub: twins and methods over REST.
import iothub from 'azure-iothub';
import { job, report, serve } from './link.mjs';

const { connectionString } = await job();
const registry = iothub.Registry.fromConnectionString(connectionString);
const client = iothub.Client.fromConnectionString(connectionString);
const jobs = iothub.JobClient.fromConnectionString(connectionString);

/** What the service does and the hub does not, by the names that the test gives. */
const absent = {
  configurations: () => registry.getConfigurations(),
  'schedule job': () => jobs.scheduleDeviceMethod('j1', "deviceId = 'd1'", { methodName: 'm' }, new Date(), 60),
  'get job': () => jobs.getJob('j1'),
  'import job': () => registry.importDevicesFromBlob('https://localhost/in?sv=1', 'https://localhost/out?sv=1'),
  'list jobs': () => registry.listJobs(),
};

/** With the body of the hub's answer: the SDK keeps its code there only. */
const told = async (work) => {
  try {
    return await work();
  } catch (error) {
    const body = String(error.responseBody ?? '');
    throw Object.assign(new Error(error.message), { name: error.name, code: body });
  }
};
const plain = ({ responseBody }) => {
  const { deviceId, moduleId, etag, version, tags, properties } = responseBody;
  return { deviceId, moduleId, etag, version, tags, properties };
};

serve({
  get: (deviceId, moduleId) =>
    told(async () => plain(await (moduleId ? registry.getModuleTwin(deviceId, moduleId) : registry.getTwin(deviceId)))),
  patch: (deviceId, moduleId, patch, etag) =>
    told(async () =>
      plain(
        await (moduleId
          ? registry.updateModuleTwin(deviceId, moduleId, patch, etag)
          : registry.updateTwin(deviceId, patch, etag)),
      ),
    ),
  /** As `patch`, by a Twin that keeps the ETag of the last answer. */
  updateTwice: (deviceId, first, second) =>
    told(async () => {
      const { responseBody: twin } = await registry.getTwin(deviceId);
      await twin.update(first);
      await twin.update(second);
      return plain({ responseBody: twin });
    }),
  /** All rows of a query, page by page. */
  query: (text, pageSize, kind) =>
    told(async () => {
      const query = registry.createQuery(text, pageSize);
      const pages = [];
      while (query.hasMoreResults) {
        // `next` without a callback forgets its own token (1.16.6): it would give the first page for ever.
        const { result } = kind === 'twins' ? await query.nextAsTwin() : await query.next(query.continuationToken);
        pages.push(kind === 'twins' ? result.map((twin) => plain({ responseBody: twin })) : result);
      }
      return pages;
    }),
  absent: (name) => told(absent[name]),
  invoke: (deviceId, moduleId, request) =>
    told(async () => {
      const { result } = await (moduleId
        ? client.invokeDeviceMethod(deviceId, moduleId, request)
        : client.invokeDeviceMethod(deviceId, request));
      return result;
    }),
});
report('ready');
