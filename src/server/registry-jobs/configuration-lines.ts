/** Configurations as lines of a file, in the JSON of the REST API. */
import { configurationDraftSchema } from '../../api/configurations.ts';
import type { Configurations } from '../../core/configurations/room.ts';
import type { ConfigurationDraft, KeptConfiguration } from '../../core/configurations/types.ts';
import { HubError } from '../../core/errors.ts';
import type { Guarded } from '../../core/identity/guard.ts';
import type { PolicyPrincipal } from '../../core/identity/types.ts';
import type { ConfigurationLines } from '../../core/registry-jobs/configuration-file.ts';
import { configurationDraft, configurationJson, readBody } from '../../protocols/http/configuration-mapping.ts';

/** The back end that has asked for the job was asked for its permissions then. */
const hub: PolicyPrincipal = {
  kind: 'policy',
  policyName: 'registry-job',
  permissions: new Set(['RegistryRead', 'RegistryWrite', 'ServiceConnect']),
  scope: [],
  expiresAt: Number.POSITIVE_INFINITY,
};

export function configurationLines(room: Guarded<Configurations>): ConfigurationLines {
  return {
    async all() {
      return (await room.list(hub)).map((kept) => {
        const { evaluated: _evaluated, ...json } = configurationJson(kept);
        return JSON.stringify(json);
      });
    },
    async take(line) {
      const body = readBody(Buffer.from(line), configurationDraftSchema);
      if (typeof body.id !== 'string' || body.id === '') throw new HubError('ArgumentNull', 'The line has no id.');
      const draft = configurationDraft(body.id, body);
      const current = await known(room, body.id);
      if (current === undefined) {
        await room.put(hub, draft);
        return 'taken';
      }
      if (isSame(draft, current)) return 'same';
      // Whether its content may stay is for the room to say.
      await room.put(hub, draft, '*');
      return 'taken';
    },
  };
}

async function known(room: Guarded<Configurations>, id: string): Promise<KeptConfiguration | undefined> {
  try {
    return await room.get(hub, id);
  } catch (error) {
    if (error instanceof HubError && error.code === 'ConfigurationNotFound') return undefined;
    throw error;
  }
}

function isSame(draft: ConfigurationDraft, current: KeptConfiguration): boolean {
  const facts = ({ schemaVersion, labels, content = {}, targetCondition, priority, metrics }: ConfigurationDraft) =>
    JSON.stringify([schemaVersion, sorted(labels), sorted(content), targetCondition, priority, sorted(metrics)]);
  return facts(draft) === facts(current);
}

/** Kinds of content that are null are none. */
function sorted(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const object = value as Readonly<Record<string, unknown>>;
  const names = Object.keys(object).filter((name) => depth > 0 || object[name] != null);
  return names.sort().map((name) => [name, sorted(object[name], depth + 1)]);
}
