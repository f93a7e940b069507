/**
 * Who may open a link between nodes: whoever has a certificate of the hub's authority for nodes, which is no other's. Its key is in the
 * database, sealed with the key of the hub's secrets; so a process that has both is a node, and no certificate of a device, of a
 * server or of an operator is worth anything at a node's port.
 */
import { X509Certificate } from 'node:crypto';
import type { ConnectionOptions, PeerCertificate, TlsOptions } from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import type { HubSecrets } from '../../core/nodes/ports.ts';
import type { PemPair } from '../tls/certificates.ts';

/** No device can have it: a slash stands in no device id. */
export const NODE_NAME = 'mooring:/node';
const NODE_URI = `URI:${NODE_NAME}`;

export interface NodeTlsParts {
  readonly secrets: Pick<HubSecrets, 'get'>;
  readonly hubName: string;
  readonly clock: Clock;
  readonly random: Random;
}

export interface NodeTls {
  /** For a node's port. */
  server(): TlsOptions;
  /** For a link to another node. */
  client(): ConnectionOptions;
  /** Makes a new certificate where that is due; true = it is another one. */
  renew(): Promise<boolean>;
}

/** @throws Error the authority cannot be read */
export async function openNodeTls({ secrets, hubName, clock, random }: NodeTlsParts): Promise<NodeTls> {
  const { makeAuthority, makeNodeCertificate } = await import('../tls/certificates.ts');
  // TLS judges by the own clock of the node that looks, which may be wrong: what keeps others out are the keys.
  const issuedAt = (): number => clock.now() - limits.nodeCertificateEarlyMs;
  const fresh = await makeAuthority(`nodes of ${hubName}`, issuedAt(), random);
  const authority = JSON.parse(await secrets.get('node authority', JSON.stringify(fresh))) as PemPair;
  let pair = await makeNodeCertificate(authority, NODE_NAME, issuedAt(), random);
  let madeAt = clock.monotonic();
  const shared = () => ({ cert: pair.cert, key: pair.key, ca: authority.cert, minVersion: 'TLSv1.3' as const });
  return {
    server: () => ({ ...shared(), requestCert: true, rejectUnauthorized: true }),
    client: () => ({
      ...shared(),
      // Nodes have one name; which node it is, is said behind this.
      checkServerIdentity: (_host, peer) =>
        isNode(peer) ? undefined : new Error('the certificate at the other end is not that of a node'),
    }),
    async renew() {
      if (clock.monotonic() - madeAt < limits.nodeCertificateMs) return false;
      pair = await makeNodeCertificate(authority, NODE_NAME, issuedAt(), random);
      madeAt = clock.monotonic();
      return true;
    },
  };
}

/** Whether a certificate, whose chain TLS has judged, is a node's. */
export function isNode(peer: Pick<PeerCertificate, 'raw'> | undefined): boolean {
  if (peer?.raw === undefined) return false;
  return new X509Certificate(peer.raw).subjectAltName === NODE_URI;
}
