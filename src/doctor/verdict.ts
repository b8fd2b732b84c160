/** What `koi doctor` says of one thing: well, or what is wrong and what to do. */
export interface DoctorVerdict {
  readonly area: 'host' | 'network' | 'log';
  /** One word, for scripts: `rp_filter`, `nats_version`, … */
  readonly check: string;
  /** `unknown`: it could not be looked at. */
  readonly status: 'ok' | 'warning' | 'failed' | 'unknown';
  readonly detail: string;
  /** What to do; empty where all is well. */
  readonly remedy: string;
}

type Area = DoctorVerdict['area'];

/** The words of one area. */
export const speaker = (area: Area) => ({
  ok: (check: string, detail: string): DoctorVerdict => ({ area, check, status: 'ok', detail, remedy: '' }),
  warning: (check: string, detail: string, remedy: string): DoctorVerdict => ({
    area,
    check,
    status: 'warning',
    detail,
    remedy,
  }),
  failed: (check: string, detail: string, remedy: string): DoctorVerdict => ({
    area,
    check,
    status: 'failed',
    detail,
    remedy,
  }),
  unknown: (check: string, detail: string, remedy: string): DoctorVerdict => ({
    area,
    check,
    status: 'unknown',
    detail,
    remedy,
  }),
});
