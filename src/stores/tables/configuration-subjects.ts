/** Whom configurations are for: identities with their twins, as a step reads and holds them. */
import { sql } from 'kysely';
import type { Subject } from '../../core/configurations/evaluate.ts';
import type { ConfigurationStates, Configured } from '../../core/configurations/types.ts';
import type { FleetPlace, FleetRow } from '../../core/query/ports.ts';
import { TwinRow } from '../../core/twins/document.ts';
import type { Twin } from '../../core/twins/types.ts';
import { configuredOf } from './configuration-rows.ts';
import { engineOf } from './engine.ts';
import { type IdentityColumns, rowIdentity } from './row-identity.ts';
import type { Transaction } from './schema.ts';
import { rowsBy } from './statements.ts';
import { twinOf } from './twin-text.ts';

export interface Found {
  readonly subject: Subject;
  readonly generationId: string;
  readonly twin: Twin;
  readonly rowOf: (twin: Twin, states: ConfigurationStates) => FleetRow;
}

interface SubjectRow extends IdentityColumns {
  readonly generation_id: string;
  readonly document: string | null;
  readonly tail: string | null;
  readonly model_id: string | null;
  readonly states: string | null;
  readonly kept: string | null;
  readonly parent: string | null;
}

const SUBJECT = `select identity.device_id, identity.module_id, identity.generation_id, identity.etag, identity.status,
    identity.status_reason, identity.status_updated_time, identity.auth_type, identity.primary_thumbprint,
    identity.secondary_thumbprint, identity.iot_edge, identity.device_scope, identity.parent_scopes,
    text.document, twin.tail, twin.model_id, own.states, own.kept,
    case when identity.module_id = '' then null else (
      select parent.kept from configured as parent where parent.device_id = identity.device_id and parent.module_id = ''
    ) end as parent
  from identities as identity
  left join twins as twin on twin.device_id = identity.device_id and twin.module_id = identity.module_id
    and twin.generation_id = identity.generation_id
  left join twin_documents as text on text.device_id = twin.device_id and text.module_id = twin.module_id
  left join configured as own on own.device_id = identity.device_id and own.module_id = identity.module_id
    and own.generation_id = identity.generation_id
  where identity.device_id = ? and identity.module_id = ?`;

/**
 * Holds those of the places that are there, with their twins, until the transaction ends: in the order of their keys, as all who hold
 * several, so that no two wait for each other in a circle. Whoever changes twins keeps their identities from being removed, which this allows.
 */
export async function holdSubjects(tx: Transaction, places: readonly FleetPlace[]): Promise<void> {
  if (!engineOf(tx).locksRows || places.length === 0) return;
  const [devices, modules] = [places.map(({ deviceId }) => deviceId), places.map(({ moduleId }) => moduleId)];
  const asked = sql`unnest(${devices}::text[], ${modules}::text[]) as asked (device_id, module_id)`;
  await sql`
    select 1 from identities as identity join ${asked} using (device_id, module_id)
    order by identity.device_id, identity.module_id for no key update of identity
  `.execute(tx);
  await sql`
    select 1 from twins as twin join ${asked} using (device_id, module_id)
    order by twin.device_id, twin.module_id for update of twin
  `.execute(tx);
}

/** Those of the places that are there, with their twins. */
export async function subjectsAt(tx: Transaction, places: readonly FleetPlace[]): Promise<readonly Found[]> {
  const found: Found[] = [];
  for (const { deviceId, moduleId } of places) {
    const [row] = await rowsBy<SubjectRow>(tx, SUBJECT, [deviceId, moduleId]);
    if (row !== undefined) found.push(foundIn(row));
  }
  return found;
}

function foundIn(row: SubjectRow): Found {
  const place = { deviceId: row.device_id, moduleId: row.module_id };
  const twin = twinOf({ document: row.document, tail: row.tail ?? '' });
  const before = row.states === null || row.kept === null ? undefined : configuredOf(row.states, row.kept);
  const rowOf = (of: Twin, configurations: ConfigurationStates): FleetRow =>
    new TwinRow({
      place,
      identity: () => ({
        ...rowIdentity(row),
        // Conditions that ask for these are not taken (`core/query/targets.ts`).
        ...{ connected: false, connectionStateUpdatedTime: 0, lastActivityTime: 0, cloudToDeviceMessageCount: 0 },
      }),
      modelId: row.model_id ?? '',
      versions: { changes: of.changes, reported: of.reported.version },
      twin: () => of,
      configurations: () => configurations,
    });
  return {
    generationId: row.generation_id,
    twin,
    rowOf,
    subject: {
      place,
      isEdge: row.module_id === '' && row.iot_edge === 1,
      desired: twin.desired.values,
      before,
      deployed: row.parent === null ? [] : (JSON.parse(row.parent) as Pick<Configured, 'deployed'>).deployed,
      row: rowOf(twin, before?.states ?? {}),
    },
  };
}
