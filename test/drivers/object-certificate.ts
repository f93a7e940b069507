/** A certificate for servers of loopback, and the authority that has issued it. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { makeCertificate } from './certificates.ts';

export interface LoopbackCertificate {
  readonly certPem: string;
  readonly keyPem: string;
  /** PEM. */
  readonly authority: string;
}

export async function loopbackCertificate(): Promise<LoopbackCertificate> {
  const authority = await makeCertificate('authority of stores', { authority: {} });
  const names = new x509.SubjectAlternativeNameExtension([
    { type: 'dns', value: 'localhost' },
    { type: 'ip', value: '127.0.0.1' },
  ]);
  const { pem, keyPem } = await makeCertificate('localhost', { issuer: authority, extensions: [names] });
  return { certPem: pem, keyPem, authority: authority.pem };
}
