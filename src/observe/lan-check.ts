/** What one node hears of another on the LAN, for `koi doctor`. */
export interface LanFinding {
  readonly vr: string;
  /** The master, whose virtual MAC is to be heard. */
  readonly speaker: string;
  readonly listener: string;
  /** Null where the listener could not be asked, or cannot say. */
  readonly hears: boolean | null;
  /** Not the virtual MAC, but the host's own. */
  readonly parentHeard: boolean;
  readonly why: string;
}

/** The answer of `/api/v1/doctor` on the control socket. */
export interface DoctorAnswer {
  readonly heard: readonly LanFinding[];
  readonly clock: { readonly count: number; readonly lastMs: number };
}
