/** Shapes that several resources of the contract share. The contract's spelling of formats is kept. */
import * as z from 'zod';

/** The contract writes `datetime`, not `date-time`. */
export const dateTime = z.iso.datetime().meta({ format: 'datetime' });
export const int32 = z.int32().meta({ format: 'int32' });
export const int64 = z.int().meta({ format: 'int64' });
export const stringMap = z.record(z.string(), z.string());

export const cpiIdentifier = z
  .object({ cpiName: z.string(), cpiVersion: z.string(), signerSummaryHash: z.string().nullable() })
  .meta({ id: 'CpiIdentifier' });

export const holdingIdentity = z
  .object({ fullHash: z.string(), groupId: z.string(), shortHash: z.string(), x500Name: z.string() })
  .meta({ id: 'HoldingIdentity' });

/** What begins an operation answers; how it fares is asked for by this id. */
export const asyncResponse = z.object({ requestId: z.string() }).meta({ id: 'AsyncResponse' });

/** 12 hex digits or more in either case; the value is upper-case, as everywhere inside. */
export const cpiChecksum: z.ZodType<string, string> = z
  .string()
  .regex(/^[0-9a-fA-F]{12,64}$/, 'a CPI checksum has 12 hex digits')
  .transform((given) => given.toUpperCase());

/** A CPI is shown and named by the first digits of its file's checksum. */
export const cpiChecksumDigits = 12;
export const shortChecksum = (fullChecksum: string): string => fullChecksum.slice(0, cpiChecksumDigits);

type CpiId = { readonly name: string; readonly version: string; readonly signerSummaryHash: string };
export const cpiIdentifierBody = ({ name, version, signerSummaryHash }: CpiId): z.infer<typeof cpiIdentifier> => ({
  cpiName: name,
  cpiVersion: version,
  signerSummaryHash,
});
