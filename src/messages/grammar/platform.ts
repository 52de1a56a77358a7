/** Versions that this platform tells others: Corda's platform version whose contract it keeps, and its own. */
export const platformVersion = '50200';
export const softwareVersion = '0.1.0';
