import type { AuthenticationType, IdentityStatus } from '../../core/identity/types.ts';

/** The columns of an identity that a condition may ask for: none of them is secret. */
export interface IdentityColumns {
  readonly device_id: string;
  readonly module_id: string;
  readonly etag: string;
  readonly status: string;
  readonly status_reason: string | null;
  readonly status_updated_time: number;
  readonly auth_type: string;
  readonly primary_thumbprint: string | null;
  readonly secondary_thumbprint: string | null;
  readonly iot_edge: number;
  readonly device_scope: string | null;
  readonly parent_scopes: string;
}

/** What a row of the fleet says of its identity, but for presence and commands. */
export function rowIdentity(row: IdentityColumns) {
  return {
    deviceId: row.device_id,
    ...(row.module_id !== '' && { moduleId: row.module_id }),
    etag: row.etag,
    status: row.status as IdentityStatus,
    statusReason: row.status_reason,
    statusUpdatedTime: Number(row.status_updated_time),
    authentication: {
      type: row.auth_type as AuthenticationType,
      x509Thumbprint: { primaryThumbprint: row.primary_thumbprint, secondaryThumbprint: row.secondary_thumbprint },
    },
    capabilities: { iotEdge: row.iot_edge === 1 },
    deviceScope: row.device_scope,
    parentScopes: row.parent_scopes === '[]' ? [] : (JSON.parse(row.parent_scopes) as readonly string[]),
  };
}
