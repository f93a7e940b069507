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

const authorityFacts = z.object({ subject: z.string(), sha256: z.string(), validTo: z.string() });

/** GET /mooring/v1/server-authority: the authority behind the hub's certificate, and where its roll-over stands. */
export const serverAuthoritySchema = z.object({
  current: authorityFacts,
  /** Offered beside the current one, not in use yet. */
  offered: authorityFacts.extend({ since: z.string() }).nullable(),
  /** What clients are to trust now, PEM. */
  bundle: z.string(),
  /**
   * Enabled devices that have shown no activity since the offer: surely without it. That the others have taken it cannot
   * be seen from here. Null without an offer.
   */
  unseen: z.object({ devices: z.number(), unseen: z.number(), deviceIds: z.array(z.string()) }).nullable(),
});
export type ServerAuthorityJson = z.output<typeof serverAuthoritySchema>;

/** POST /mooring/v1/server-authority/switch */
export const switchBodySchema = z.strictObject({
  /** Also while devices have not been seen since the offer. */
  force: z.boolean().optional(),
});
