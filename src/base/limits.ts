/**
 * Every bound of the hub, under one name, with its unit in the name and its reason beside it. Those that an operator may
 * move are defaults of settings (`server/config/config.ts`); the others are fixed by a protocol or protect the process.
 * "Service" means the emulated service's documented quota (device reference section 5, service reference section 4).
 */
import { adaptersLimits } from './limits/adapters.ts';
import { amqpLimits } from './limits/amqp.ts';
import { archiveLimits } from './limits/archive.ts';
import { cliLimits } from './limits/cli.ts';
import { coapLimits } from './limits/coap.ts';
import { commandsLimits } from './limits/commands.ts';
import { configurationsLimits } from './limits/configurations.ts';
import { connectionsLimits } from './limits/connections.ts';
import { dtlsLimits } from './limits/dtls.ts';
import { endpointsLimits } from './limits/endpoints.ts';
import { eventsLimits } from './limits/events.ts';
import { filesLimits } from './limits/files.ts';
import { gatewayLimits } from './limits/gateway.ts';
import { httpLimits } from './limits/http.ts';
import { identityLimits } from './limits/identity.ts';
import { jobsLimits } from './limits/jobs.ts';
import { kafkaLimits } from './limits/kafka.ts';
import { lorawanLimits } from './limits/lorawan.ts';
import { monitoringLimits } from './limits/monitoring.ts';
import { mqttLimits } from './limits/mqtt.ts';
import { mqttTopicsLimits } from './limits/mqtt-topics.ts';
import { nodesLimits } from './limits/nodes.ts';
import { portalLimits } from './limits/portal.ts';
import { queryLimits } from './limits/query.ts';
import { registryJobsLimits } from './limits/registry-jobs.ts';
import { routesLimits } from './limits/routes.ts';
import { serverLimits } from './limits/server.ts';
import { twinsLimits } from './limits/twins.ts';

export const limits = {
  ...adaptersLimits,
  ...amqpLimits,
  ...archiveLimits,
  ...cliLimits,
  ...coapLimits,
  ...commandsLimits,
  ...configurationsLimits,
  ...connectionsLimits,
  ...dtlsLimits,
  ...endpointsLimits,
  ...eventsLimits,
  ...filesLimits,
  ...gatewayLimits,
  ...httpLimits,
  ...identityLimits,
  ...jobsLimits,
  ...lorawanLimits,
  ...monitoringLimits,
  ...kafkaLimits,
  ...mqttLimits,
  ...mqttTopicsLimits,
  ...portalLimits,
  ...nodesLimits,
  ...queryLimits,
  ...registryJobsLimits,
  ...routesLimits,
  ...serverLimits,
  ...twinsLimits,
} as const;
