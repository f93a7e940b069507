import type { Settings } from './config/config.ts';
import type { DataFolder } from './data/data-folder.ts';
import type { Nodes } from './nodes/nodes.ts';
import { folderNameOf, nodeAddressOf, nodeNameOf, programVersion } from './nodes/place.ts';
import type { SharedByNodes, Storage } from './storage/storage.ts';
import type { Surroundings } from './surroundings.ts';

interface NodesSurroundings extends Surroundings {
  readonly settings: Settings;
  readonly folder: DataFolder;
  readonly storage: Storage;
  readonly shared: SharedByNodes;
}

/** What one node does for all. */
const nodeDuties = ['events of twins', 'files', 'rollouts'] as const;

export type NodeDuty = (typeof nodeDuties)[number];

/** This node among those of the hub; it joins them once its doors can open. */
export async function openNodes(parts: NodesSurroundings): Promise<Nodes> {
  const { settings, folder, storage, shared, random, log, shutdown } = parts;
  // The database's: what nodes decide by a time, all of them see alike.
  const { clock } = storage;
  const { Nodes: Opened } = await import('./nodes/nodes.ts');
  const nodes = new Opened({
    node: {
      name: nodeNameOf(settings),
      folder: folderNameOf(folder.path),
      address: nodeAddressOf(settings),
      version: programVersion(),
    },
    duties: nodeDuties,
    stores: shared,
    places: storage.places,
    logs: Object.values(storage.logs),
    hubName: folder.facts.hubName,
    ...{ clock, random, log },
  });
  await nodes.membership.awaitName();
  // What is written before it joins is its own: that it has started.
  shared.fence.mayAnswer = () => nodes.membership.isValid || !nodes.membership.hasJoined;
  shared.fence.standing = () => nodes.membership.standing;
  shutdown.add('node', () => nodes.close());
  return nodes;
}
