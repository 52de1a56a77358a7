/** Operations of the contract that are not served yet. Strike off what you add; nothing is ever added here. */
export const operationsToCome: readonly string[] = [
];
