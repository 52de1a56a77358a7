import type { StandardSchema } from '../../../src/flow-sdk/flow-sdk.ts';

export const any: StandardSchema<unknown> = { '~standard': { version: 1, vendor: 'histories', validate: (value) => ({ value }) } };

/** What some work gave, or the code or message of its refusal. */
export const caught = async (work: () => Promise<unknown>): Promise<unknown> => {
  try {
    return (await work()) ?? null;
  } catch (error) {
    // Whatever was thrown is read as an error of ours or of the platform.
    const { code, message } = error as { code?: string; message: string };
    return `${code ?? 'threw'}: ${message}`;
  }
};
