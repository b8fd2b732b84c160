interface Advice {
  readonly reason: string;
  readonly remedy: string;
}

const table: readonly (readonly [names: RegExp, reason: string, remedy: string])[] = [
  [/^state$/, 'every Koi node starts as a backup, and the priority decides', 'nothing'],
  [
    /^authentication$/,
    'VRRP version 3 has no authentication, and Koi no AH',
    'Koi has passwords in VRRP version 2 only, and no AH: remove it from both sides, or use auth_hmac',
  ],
  [/^auth_hmac$/, 'Koi reads the key from a file', 'write it to a file of mode 0600 and name it in authHmac.keyFile'],
  [/^(track_|vrrp_script|vrrp_track_)/, 'tracking is not carried over', 'write it to track, see docs/tracking.md'],
  [/^notify/, "Koi's hooks are called at other moments", 'write them to hooks, see docs/tracking.md'],
  [/^(smtp|notification_email|no_email)/, 'Koi sends no mail', "use Koi's alert rules, see docs/metrics.md"],
  [/^(vrrp_)?(garp|gna|min_garp)/, 'Koi has a schedule of its own for announcements', 'nothing'],
  [
    /^virtual_server|^real_server|^lvs_|^sorry_server|^SSL$/,
    'Koi is no load balancer (LVS)',
    'keep keepalived for its virtual servers, without VRRP',
  ],
  [/^virtual_routes$/, 'routes are not carried over', 'write them to routes, see docs/protocols.md'],
  [/^virtual_rules$/, 'Koi adds no routing rules', 'add them for good, or in a hook'],
  [/^static_/, 'it does not move with an address', "leave it to the system's network configuration"],
  [
    /^virtual_ipaddress_excluded$/,
    'Koi advertises each of its addresses',
    'add them to addresses of every router together',
  ],
  [/^vmac_xmit_base$/, 'Koi chooses by itself what an advert is sent from', 'nothing'],
  [/^accept$/, 'it is the default', 'nothing'],
  [/^(router_id|enable_script_security|script_user)$/, 'Koi has no such setting', 'nothing'],
];

/** Why a statement has no counterpart, and what to do instead. */
export function adviceFor(name: string): Advice {
  const row = table.find(([names]) => names.test(name));
  if (row !== undefined) return { reason: row[1], remedy: row[2] };
  return { reason: 'Koi has no counterpart that this import knows', remedy: 'compare with koi schema' };
}
