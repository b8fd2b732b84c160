import type { Netlink } from '../kernel/netlink.js';
import { forgetLeftSettings, leaveSettings, leftSettings } from '../kernel/nft-left-settings.js';
import type { RestoreResult, SavedSetting, SysctlRecord } from '../kernel/sysctl-record.js';
import { KoiError } from '../koi-error.js';

export interface SettingsPlace {
  /** A socket for packet filters in the namespace, if it is not our own. */
  readonly filter: Netlink | undefined;
  readonly nameOf: (ifindex: number) => string | undefined;
  /** What else was different before, once all is on record. */
  readonly more?: () => readonly SavedSetting[];
}

/** Puts back what was there before Koi came: for the last who relies on the guards of a namespace. */
export function putBack(record: SysctlRecord, place: SettingsPlace): RestoreResult {
  const left = completeRecord(record, place);
  const result = record.restore(place.nameOf);
  if (left > 0) forgetLeftSettings(place.filter);
  return result;
}

/**
 * For whoever leaves while others rely on the guards: nothing is put back, and the last of them finds what was there before.
 * @returns why that one will not find it, for people: then it stays on this record
 */
export function leaveToOthers(record: SysctlRecord, place: Omit<SettingsPlace, 'nameOf'>): string | undefined {
  completeRecord(record, place);
  const result = leaveSettings(record.entries, place.filter);
  if (!result.ok) return result.reason;
  record.forget();
  return undefined;
}

/** Adds what others had on record who have left before. @returns how many settings those were */
function completeRecord(record: SysctlRecord, { filter, more }: Omit<SettingsPlace, 'nameOf'>): number {
  const left = leftBehind(filter);
  record.adopt(left);
  if (more !== undefined) record.adopt(more());
  return left.length;
}

function leftBehind(filter: Netlink | undefined): readonly SavedSetting[] {
  try {
    const left = leftSettings(filter);
    return left.ok ? left.value : [];
  } catch (error) {
    // Without nf_tables nobody can have left anything.
    if (error instanceof KoiError) return [];
    throw error;
  }
}
