// azure-iothub: twins and methods over REST.
import { ContainerClient } from '@azure/storage-blob';
import iothub from 'azure-iothub';
import { job, report, serve } from './link.mjs';

const { connectionString } = await job();
const registry = iothub.Registry.fromConnectionString(connectionString);
const client = iothub.Client.fromConnectionString(connectionString);

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
  /** One verb of configurations, with what each takes. */
  configuration: (verb, ...args) =>
    told(async () => {
      const body = async (method) => (await registry[method](...args)).responseBody;
      switch (verb) {
        case 'create':
          return body('addConfiguration');
        case 'get':
          return body('getConfiguration');
        case 'list':
          return body('getConfigurations');
        case 'update':
          return body('updateConfiguration');
        case 'delete':
          return void (await registry.removeConfiguration(args[0]));
        default:
          return void (await registry.applyConfigurationContentOnDevice(...args));
      }
    }),
  exportRegistry: (uri, excludesKeys) => told(() => registry.exportDevicesToBlob(uri, excludesKeys)),
  importRegistry: (input, output) => told(() => registry.importDevicesFromBlob(input, output)),
  registryJob: (id) => told(() => registry.getJob(id)),
  registryJobs: () => told(async () => (await registry.listJobs()).responseBody),
  cancelRegistryJob: (id) => told(() => registry.cancelJob(id)),
  /** A file of a container, by the storage library. */
  blob: async (uri, name) => String(await new ContainerClient(uri).getBlockBlobClient(name).downloadToBuffer()),
  invoke: (deviceId, moduleId, request) =>
    told(async () => {
      const { result } = await (moduleId
        ? client.invokeDeviceMethod(deviceId, moduleId, request)
        : client.invokeDeviceMethod(deviceId, request));
      return result;
    }),
});
report('ready');
