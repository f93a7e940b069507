/** Certificate authorities of devices, under `/mooring/v1/certificate-authorities`, and the one behind the hub's own certificate. */
import { z } from 'zod';

/** One authority of devices. Times are ISO 8601, UTC. */
export const certificateAuthoritySchema = z.object({
  name: z.string(),
  etag: z.string(),
  /** Lets its devices in only when it is verified. */
  verified: z.boolean(),
  /** The common name that the proof's certificate must have; null once it is verified. */
  verificationCode: z.string().nullable(),
  subject: z.string(),
  /** SHA-256, lower-case hexadecimal. */
  thumbprint: z.string(),
  validFrom: z.string(),
  validTo: z.string(),
  createdTime: z.string(),
  updatedTime: z.string(),
  /** PEM. */
  certificate: z.string(),
});
export type CertificateAuthority = z.output<typeof certificateAuthoritySchema>;

/** What PUT of an authority and POST of its proof carry: one certificate in PEM. */
export const certificateBodySchema = z.object({ certificate: z.string().max(64 * 1024) });
