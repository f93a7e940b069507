/** The nodes that serve the hub, under `/mooring/v1`: which there are, and how one of them is emptied before it is stopped. */
import { z } from 'zod';
import { type NodeJson, nodeSchema } from '../../api/nodes.ts';
import { HubError } from '../../core/errors.ts';
import type { Hub } from '../../core/hub.ts';
import type { NodeStatus, NodesControl } from '../shared/nodes-control.ts';
import { timeText } from './mapping.ts';
import { type ApiRoute, route } from './route.ts';

const place = '/mooring/v1/nodes';
const tag = 'nodes';

/** @param nodes absent = the hub is one process, which has no lease: every request is answered so */
export function nodeRoutes(hub: Pick<Hub, 'guard'>, nodes: NodesControl | undefined): readonly ApiRoute[] {
  const there = (): NodesControl => {
    if (nodes === undefined)
      throw new HubError('OperationNotAvailable', 'This hub is one process, without other nodes.');
    return nodes;
  };
  return [
    route({
      method: 'GET',
      url: place,
      summary: 'The nodes that serve the hub, in order of name',
      tag,
      answers: { 200: z.array(nodeSchema) },
      handle: async ({ principal }) => {
        hub.guard.demand(principal, 'nodes.read');
        return { status: 200, body: (await there().list()).map(nodeJson) };
      },
    }),
    route({
      method: 'POST',
      url: `${place}/:node/drain`,
      summary: 'Empties a node: it takes no connections and lets go of those it has, so that it can be stopped',
      tag,
      answers: { 202: nodeSchema },
      handle: async ({ principal, params }) => {
        hub.guard.demand(principal, 'nodes.write');
        const name = params.node ?? '';
        const node = await there().drain(name);
        if (node === undefined) throw new HubError('NodeNotFound', `No node ${name} serves this hub.`);
        return { status: 202, body: nodeJson(node) };
      },
    }),
  ];
}

function nodeJson({ startedTime, isDraining, isAnswering, ...facts }: NodeStatus): NodeJson {
  const { name, id, address, port, version, devices, leaseMs } = facts;
  return {
    ...{ name, id, address, port, version, devices, leaseMs },
    startedTime: timeText(startedTime),
    status: isDraining ? 'draining' : 'serving',
    answering: isAnswering,
  };
}
