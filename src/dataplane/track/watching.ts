/** What a tracker found: a yes or no, or the number of a file; `detail` says why, for people. */
export interface Reading {
  readonly level: 'up' | 'down' | number;
  readonly detail: string;
}

/** Told when the level has changed, and once at the beginning. */
export type OnReading = (reading: Reading) => void;

/** Something that is being watched, until it is stopped. */
export interface Watching {
  stop(): void;
}
