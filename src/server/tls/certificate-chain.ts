import { X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { certificatesOf } from './authority-files.ts';

/**
 * What clients will miss in a server's chain, the leaf first: browsers fetch an intermediate that is not sent, devices and SDKs
 * refuse. Undefined = it ends at a root that can be known here: one in the chain, in `trusted`, or of the public ones.
 * @param chain @param trusted PEM, one certificate or more
 */
export function missingInChain(chain: string, trusted: string | undefined): string | undefined {
  const certificates = certificatesOf(chain).map((pem) => new X509Certificate(pem));
  let [last] = certificates;
  if (last === undefined) return undefined;
  // In any order: most stacks sort what they are sent. Each certificate counts once: two may have signed each other.
  const unused = new Set(certificates.slice(1));
  while (!isRoot(last)) {
    const next = [...unused].find((other) => isIssuedBy(last, other));
    if (next === undefined) break;
    unused.delete(next);
    last = next;
  }
  if (isRoot(last)) return undefined;
  const roots = [...certificatesOf(trusted ?? ''), ...rootCertificates];
  if (roots.some((pem) => isIssuedBy(last, new X509Certificate(pem)))) return undefined;
  return (
    `the chain ends at ${nameOf(last.subject)}, and the certificate of its issuer, ${nameOf(last.issuer)}, is not in the file. ` +
    'Append the intermediate certificates to the file; where the issuer is your own root, name it by tlsCaFile.'
  );
}

const isRoot = (certificate: X509Certificate): boolean => isIssuedBy(certificate, certificate);

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

const nameOf = (subject: string): string => subject.split('\n').join(', ');
