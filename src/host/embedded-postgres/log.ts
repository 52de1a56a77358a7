/** What the database says to whoever started it; any log of ours fits. */
type Say = (event: string, fields?: Readonly<Record<string, unknown>>) => void;

export type ServerLog = { readonly debug: Say; readonly info: Say; readonly warn: Say; readonly error: Say };
