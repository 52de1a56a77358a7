/** Waits between repeats: doubled each time up to a bound, and spread, so that the peers of a gateway that is back do not all come at once. */

/** A number in [0.75, 1.25) that is the same for the same text (FNV-1a): jitter without chance. */
const jitter = (text: string): number => {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return 0.75 + hash / 2 ** 33;
};

/** `of`: what is repeated; another one waits a little longer or shorter. */
export const backOff = ({ of, repeats, min, max }: { readonly of: string; readonly repeats: number; readonly min: number; readonly max: number }): number =>
  Math.round(Math.min(min * 2 ** Math.min(repeats, 20), max) * jitter(`${of}/${repeats}`));
