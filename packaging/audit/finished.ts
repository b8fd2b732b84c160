/** Packages without a new version for years, and why that is no fault: small, of one purpose, looked at by whoever adds the line. */
export const finished: Readonly<Record<string, string>> = {};
