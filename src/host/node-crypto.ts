/**
 * Node's own cryptography, for what WebCrypto has only behind a promise: a digest of a short text, or a packet to seal, costs a
 * fraction of it. Absent on every other runtime, where audited JavaScript or WebCrypto does the same.
 */
type NodeCrypto = typeof import('node:crypto');

/** What of `process` is asked here; others imitate Node's, but not its name in `navigator`. */
type Platform = { readonly navigator?: { readonly userAgent?: string }; readonly process?: { getBuiltinModule?(id: 'node:crypto'): NodeCrypto } };

// The global object has these properties or lacks them.
const { navigator, process } = globalThis as Platform;

export const nodeCrypto: NodeCrypto | undefined = navigator?.userAgent?.startsWith('Node.js/') === true ? process?.getBuiltinModule?.('node:crypto') : undefined;
