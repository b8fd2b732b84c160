import type { LanFinding } from '../observe/lan-check.js';
import { type DoctorVerdict, speaker } from './verdict.js';

export interface NetworkFacts {
  readonly parents: readonly {
    readonly name: string;
    readonly present: boolean;
    readonly carrier: boolean;
    readonly wireless: boolean;
    /** Programs that manage it, and whether they have been told of Koi's links (a snippet that names koi). */
    readonly managers: readonly { readonly name: string; readonly toldOfKoi: boolean }[];
  }[];
  /** Koi's own links that a program manages. */
  readonly managedLinks: readonly { readonly name: string; readonly manager: string }[];
  /** What `koi check` finds of this machine. */
  readonly problems: readonly { readonly isError: boolean; readonly message: string; readonly remedy: string }[];
  /** What the nodes hear of each other; undefined where no daemon can be asked. */
  readonly heard: readonly LanFinding[] | undefined;
}

const { ok, warning, failed, unknown } = speaker('network');
const unmanage: Readonly<Record<string, string>> = {
  'systemd-networkd':
    'a .network file with [Match] Kind=macvlan, Name=koi* and [Link] Unmanaged=yes, then networkctl reload',
  NetworkManager:
    '[keyfile] unmanaged-devices=interface-name:koi* in /etc/NetworkManager/conf.d, then nmcli general reload',
};

export function judgeNetwork(facts: NetworkFacts): DoctorVerdict[] {
  return [
    ...facts.parents.flatMap(parent),
    ...managers(facts),
    ...facts.problems.map(({ isError, message, remedy }) =>
      isError ? failed('addresses', message, remedy) : warning('addresses', message, remedy),
    ),
    ...virtualMacPath(facts.heard),
  ];
}

function parent({ name, present, carrier, wireless }: NetworkFacts['parents'][number]): DoctorVerdict[] {
  const check = 'interface';
  if (!present) return [failed(check, `there is no interface ${name}`, 'create it, or correct the configuration')];
  const verdicts: DoctorVerdict[] = [];
  if (!carrier)
    verdicts.push(failed(check, `${name} has no carrier`, 'look at the cable, the switch port and ip link'));
  if (wireless) {
    verdicts.push(
      failed(
        check,
        `${name} is wireless: access points pass no MAC but its own`,
        'use a wired interface for virtual MACs',
      ),
    );
  }
  return verdicts.length > 0 ? verdicts : [ok(check, `${name} is there, with carrier`)];
}

function managers({ parents, managedLinks }: NetworkFacts): DoctorVerdict[] {
  const check = 'link_managers';
  const verdicts = managedLinks.map(({ name, manager }) =>
    failed(check, `${manager} manages ${name}, which is koi's: it may take addresses off`, unmanage[manager] ?? ''),
  );
  for (const { name, managers: found } of parents) {
    for (const { name: manager, toldOfKoi } of found) {
      if (toldOfKoi || managedLinks.length > 0) continue;
      const detail = `${manager} manages ${name}, and no file of it says that koi's links are none of its business`;
      verdicts.push(warning(check, detail, unmanage[manager] ?? ''));
    }
  }
  return verdicts.length > 0 ? verdicts : [ok(check, "nobody else manages koi's links")];
}

/** A peer says whether it hears this node's virtual MAC, and this node whether it hears the master's. */
function virtualMacPath(heard: readonly LanFinding[] | undefined): DoctorVerdict[] {
  const check = 'virtual_mac_path';
  if (heard === undefined) {
    return [unknown(check, 'no daemon runs here whom the others could be asked through', 'start koi, and ask again')];
  }
  if (heard.length === 0) {
    return [unknown(check, 'no other node is there who could say what it hears', 'ask again when another one runs')];
  }
  return heard.map(({ vr, speaker: from, listener, hears, parentHeard, why }) => {
    const path = `${vr}: ${listener} ← ${from}`;
    if (hears === true) return ok(check, `${path}: the virtual MAC is heard`);
    if (hears === null) return unknown(check, `${path}: ${why}`, `look at koi on ${listener}`);
    const both = parentHeard
      ? `the host is heard, its virtual MAC is not: ${why}`
      : `neither the host nor its virtual MAC is heard: ${why}`;
    const remedy = parentHeard
      ? 'let the switch pass more than one MAC a port and multicast 224.0.0.18: port security, IGMP snooping; on VMware forged transmits, and promiscuous mode or MAC learning'
      : 'look at VLAN, cabling and filters between the two';
    return failed(check, `${path}: ${both}`, remedy);
  });
}
