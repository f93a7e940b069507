// azure-iothub: any method of its Registry, called with the arguments that the test gives.
import iothub from 'azure-iothub';
import { job, report, serve } from './link.mjs';

const { connectionString } = await job();
const registry = iothub.Registry.fromConnectionString(connectionString);
serve({
  async registry(method, ...args) {
    const answer = await registry[method](...args);
    return { body: answer?.responseBody, status: answer?.httpResponse?.statusCode };
  },
});
report('ready');
