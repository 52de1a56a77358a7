/** What a record costs in memory, and where it stands in the log. */
/** What a record costs beside its text, in the same unit, so that many empty records are no free ride. */
const overheadChars = 64;
/** A record's share of any bound on text. */
export const charsOf = ({ key, value }: { readonly key: string; readonly value: string }): number => key.length + value.length + overheadChars;

/**
 * Where a record's frame stands: the segment's number times 2^32, plus the frame's position in the file. One number,
 * because there is one for every record of the log.
 */
export type Location = number;
const segmentFactor = 2 ** 32;
export const locationOf = (segment: number, position: number): Location => segment * segmentFactor + position;
export const segmentOf = (location: Location): number => Math.floor(location / segmentFactor);
export const positionOf = (location: Location): number => location % segmentFactor;
