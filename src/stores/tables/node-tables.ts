/** The tables of nodes, as `schema.ts` has them; their columns are explained in `formats/nodes.ts`. */

export interface NodeTables {
  nodes: NodeRow;
  receivers: ReceiverRow;
  node_notices: { id: string; node: string; created_time: number; body: string };
  node_duties: { duty: string; node: string };
}

export interface NodeRow {
  id: string;
  name: string;
  folder: string;
  address: string;
  port: number;
  version: string;
  started_time: number;
  draining: number;
  devices: number;
  lease_until: number;
}

export interface ReceiverRow {
  event_hub: string;
  group_key: string;
  partition: number;
  node: string;
  receiver: number;
  name: string;
  epoch: number | null;
}
