import type { Answer, Netlink } from './netlink.js';
import { attributeText, flag, forEachAttribute, headerBytes } from './netlink-message.js';
import {
  chain,
  innerChainMessage,
  type NftResult,
  netfilter,
  nft,
  nftMessage,
  nftType,
  tableMessage,
  transact,
} from './nft-message.js';
import { isConfKey } from './sysctl.js';
import type { SavedSetting } from './sysctl-record.js';

/**
 * What the settings of a network namespace were before Koi came, where whoever has it on record leaves before others who
 * rely on what Koi has set. It is kept where it lives as long as the settings do, and where all of them see it whatever
 * they see of the file system: in an nf_tables table without rules, as the names of its chains.
 *
 *     table arp koi-before { chain if4.arp_ignore.1.0 { } chain default.arp_announce.2.0 { } }
 *
 * `if4.arp_ignore.1.0`: Koi has set 1, and 0 was there before.
 */
const tableName = 'koi-before';
const nfprotoArp = 3;

const scopeText = ({ scope }: SavedSetting): string => (typeof scope === 'string' ? scope : `if${scope.ifindex}`);
const chainName = (saved: SavedSetting): string => `${scopeText(saved)}.${saved.key}.${saved.ours}.${saved.original}`;

const newTable = (): Uint8Array => tableMessage(nfprotoArp, nft.newTable, flag.create, tableName);

/** Adds to what is kept already. @param within a socket of another network namespace */
export function leaveSettings(settings: readonly SavedSetting[], within?: Netlink): NftResult {
  if (settings.length === 0) return { ok: true };
  const kept = settings.map((saved) => innerChainMessage(nfprotoArp, tableName, chainName(saved)));
  return transact([newTable(), ...kept], within);
}

/** What is kept; empty where nothing is. @throws KoiError where the kernel has no netfilter netlink */
export function leftSettings(within: Netlink = netfilter()): Answer<SavedSetting[]> {
  const request = nftMessage(nfprotoArp, nft.getChain, 0).finish();
  return within.dump(request, ({ type, bytes, view, start, end }) => {
    if (type !== nftType(nft.newChain)) return undefined;
    let isOurs = false;
    let name = '';
    forEachAttribute(view, start + headerBytes + 4, end, (attribute, at, length) => {
      if (attribute === chain.table) isOurs = attributeText(bytes, at, length) === tableName;
      if (attribute === chain.name) name = attributeText(bytes, at, length);
    });
    return isOurs ? parseName(name) : undefined;
  });
}

export function forgetLeftSettings(within?: Netlink): NftResult {
  return transact([newTable(), tableMessage(nfprotoArp, nft.delTable, 0, tableName)], within);
}

function parseName(name: string): SavedSetting | undefined {
  const [, scope = '', ifindex, key = '', ours = '', original = ''] =
    /^(default|if(\d+))\.(\w+)\.(\d+)\.(\d+)$/.exec(name) ?? [];
  if (!isConfKey(key)) return undefined;
  return {
    scope: scope === 'default' ? scope : { ifindex: Number(ifindex), name: scope },
    key,
    ours,
    original,
  };
}
