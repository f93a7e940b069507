/** The certificate authorities whose devices may connect: registered, proved and removed under `/mooring/v1`. */
import { z } from 'zod';
import { type CertificateAuthority, certificateAuthoritySchema, certificateBodySchema } from '../../api/authorities.ts';
import type { Hub } from '../../core/hub.ts';
import type { AuthorityView } from '../../core/identity/authorities.ts';
import { timeText } from './mapping.ts';
import { type ApiAnswer, type ApiRoute, route } from './route.ts';

const authorities = '/mooring/v1/certificate-authorities';
const authority = `${authorities}/:authority`;
const tag = 'certificate authorities';

export function authorityRoutes(hub: Pick<Hub, 'authorities'>): readonly ApiRoute[] {
  const answer = (status: number, view: AuthorityView): ApiAnswer => ({
    status,
    body: authorityJson(view),
    etag: view.etag,
  });
  return [
    route({
      method: 'GET',
      url: authorities,
      summary: 'Certificate authorities of devices, in order of name',
      tag,
      answers: { 200: z.array(certificateAuthoritySchema) },
      handle: async ({ principal }) => ({
        status: 200,
        body: (await hub.authorities.list(principal)).map(authorityJson),
      }),
    }),
    route({
      method: 'GET',
      url: authority,
      summary: 'One certificate authority',
      tag,
      answers: { 200: certificateAuthoritySchema },
      handle: async ({ principal, params }) =>
        answer(200, await hub.authorities.get(principal, params.authority ?? '')),
    }),
    route({
      method: 'PUT',
      url: authority,
      summary: 'Registers a certificate authority, which lets nobody in before it is proved',
      tag,
      body: certificateBodySchema,
      answers: { 201: certificateAuthoritySchema },
      handle: async ({ principal, params, body }) =>
        answer(201, await hub.authorities.add(principal, params.authority ?? '', body.certificate)),
    }),
    route({
      method: 'POST',
      url: `${authority}/proof`,
      summary: 'Proves an authority by a certificate that it has signed for its verification code',
      tag,
      body: certificateBodySchema,
      answers: { 200: certificateAuthoritySchema },
      handle: async ({ principal, params, body }) =>
        answer(200, await hub.authorities.prove(principal, params.authority ?? '', body.certificate)),
    }),
    route({
      method: 'DELETE',
      url: authority,
      summary: 'Removes an authority; its devices are cut off at once',
      tag,
      answers: { 204: null },
      handle: async ({ principal, params, ifMatch }) => {
        await hub.authorities.delete(principal, params.authority ?? '', ifMatch);
        return { status: 204 };
      },
    }),
  ];
}

function authorityJson(view: AuthorityView): CertificateAuthority {
  const { name, etag, verified, verificationCode, subject, thumbprint } = view;
  return {
    name,
    etag,
    verified,
    verificationCode,
    subject,
    thumbprint,
    validFrom: timeText(view.validFrom),
    validTo: timeText(view.validTo),
    createdTime: timeText(view.createdTime),
    updatedTime: timeText(view.updatedTime),
    certificate: pem(view.certificate),
  };
}

function pem(base64: string): string {
  const lines = base64.match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
