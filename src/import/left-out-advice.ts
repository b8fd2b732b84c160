import type { Why } from './ledger.js';

interface Row extends Why {
  /** For the document: the statements this is said of. */
  readonly statements: string;
  readonly names: RegExp;
}

const row = (statements: string, names: RegExp, reason: string, remedy: string): Row => ({
  statements,
  names,
  reason,
  remedy,
});

/** What Koi has no word for, why, and what to do instead. The first row that fits counts. */
export const leftOutRows: readonly Row[] = [
  row('`state MASTER`', /^state$/, 'every Koi node starts as a backup, and the priority decides', 'nothing'),
  row(
    '`authentication` with AH, or under VRRPv3',
    /^(authentication|auth_type|auth_pass)$/,
    'VRRP version 3 has no authentication, and Koi no AH',
    'remove it from both sides, or use auth_hmac',
  ),
  row(
    '`notify_fifo`, `vrrp_notify_fifo` and their scripts',
    /notify_fifo|^notify_priority_changes$|^vrrp_notify_priority|^fifo_write/,
    'Koi has no FIFO',
    'read `koi timeline -f --json`',
  ),
  row(
    '`notify_fault`, `notify_stop`, `notify_deleted`, `notify_master_rx_lower_pri`',
    /^notify/,
    "Koi has one hook for every way to leave, and none for another's advert",
    'let hooks.postRelease look at KOI_STATE and KOI_REASON, see docs/tracking.md',
  ),
  row('mail', /^(smtp|notification_email|no_email)/, 'Koi sends no mail', "use Koi's alert rules, see docs/metrics.md"),
  row(
    '`garp_*`, `vrrp_garp_*`, `garp_group`',
    /^(vrrp_)?(garp|gna|min_garp)/,
    'Koi has a schedule of its own for announcements',
    'nothing',
  ),
  row(
    'LVS: `virtual_server` and all that belongs to it',
    /^virtual_server|^real_server|^lvs_|^sorry_server|^SSL$|^checker_|^rs_init|^no_checker|^net_namespace_ipvs$/,
    'Koi is no load balancer (LVS)',
    'keep keepalived for its virtual servers, without VRRP',
  ),
  row('`virtual_rules`', /^virtual_rules$/, 'Koi adds no routing rules', 'add them for good, or in a hook'),
  row(
    '`static_ipaddress`, `static_routes`, `static_rules`, `track_group`',
    /^(static_|track_group$|default_interface$)/,
    'it does not move with an address',
    "leave it to the system's network configuration",
  ),
  row(
    '`track_bfd`, `bfd_instance`',
    /bfd/,
    'Koi speaks no BFD',
    'track a route that the routing daemon withdraws, or a script',
  ),
  row('`dont_track_primary`', /^dont_track_primary$/, 'a router without carrier serves nobody', 'nothing'),
  row(
    '`mcast_src_ip`',
    /^(mcast_src_ip|track_src_ip)$/,
    "adverts leave from the interface's first address",
    'make it the first address of the interface',
  ),
  row(
    '`mcast_dst_ip`, `vrrp_mcast_group4`, `vrrp_mcast_group6`',
    /^(mcast_dst_ip|vrrp_mcast_group[46])$/,
    'Koi uses the groups of the RFC',
    'use 224.0.0.18 and ff02::12 on every router',
  ),
  row(
    '`down_timer_adverts`',
    /^(vrrp_)?down_timer_adverts$/,
    'Koi waits for three adverts, as the RFC says',
    'set it to 3 on every router, and change advert_int',
  ),
  row(
    '`use_ipvlan`',
    /^use_ipvlan$/,
    'Koi gives every virtual router its virtual MAC (macvlan)',
    'see docs/kubernetes.md for networks that allow one MAC a port',
  ),
  row(
    '`vmac_xmit_base` with multicast',
    /^vmac_xmit_base$/,
    'adverts leave from the virtual MAC (RFC 9568)',
    'nothing',
  ),
  row(
    '`lower_prio_no_advert`, `higher_prio_send_advert`, `skip_check_adv_addr` and their global forms',
    /^(vrrp_)?(lower_prio_no_advert|higher_prio_send_advert|skip_check_adv_addr)$/,
    'Koi does as RFC 9568 says',
    'nothing',
  ),
  row(
    '`old_unicast_checksum`',
    /^old_unicast_checksum$/,
    'Koi does not speak as keepalived before 1.3.7',
    'upgrade it',
  ),
  row(
    'SNMP, D-Bus',
    /snmp|^enable_traps$|dbus/,
    'Koi has metrics and a control socket',
    'use `koi status --json` or /metrics, see docs/metrics.md',
  ),
  row(
    'scheduling, CPU, memory: `vrrp_priority`, `vrrp_rt_priority`, `max_auto_priority` and their kind',
    /^(vrrp|checker|bfd)_(priority|rt_priority|rlimit_rttime|no_swap|cpu_affinity|process_name)$|auto_priority|process_name|rx_bufs|rcv_bufs/,
    "it is in Koi's systemd units",
    'nothing',
  ),
  row(
    'firewall: `vrrp_iptables`, `vrrp_ipsets`, `nftables*`',
    /^(vrrp_(iptables|ipsets)|nftables|disable_local_igmp)/,
    'Koi has an nftables table of its own',
    'nothing',
  ),
  row(
    '`net_namespace`, `instance`, `use_pid_dir`',
    /^(net_namespace|instance|use_pid_dir|namespace_with_ipsets)$/,
    'Koi does not choose the namespace it runs in',
    'start it in there (NetworkNamespacePath= of its unit), with a control and a stateDir of its own',
  ),
  row(
    '`startup_script`, `shutdown_script`',
    /^(startup|shutdown)_script/,
    'it is not of one virtual router',
    "use ExecStartPre= and ExecStopPost= of Koi's unit",
  ),
  row(
    '`linkbeat_*`, `interface_up_down_delays`',
    /^linkbeat|^interface_up_down_delays$/,
    'Koi listens to the kernel (netlink)',
    'nothing',
  ),
  row('`vrrp_strict`, `strict_mode`', /^(vrrp_strict|strict_mode)$/, 'Koi has no such mode', 'nothing'),
  row(
    '`router_id`, `enable_script_security`, `log_unknown_vrids` and other settings of the daemon',
    /^(router_id|enable_script_security|script_security|log_unknown_vrids|dynamic_interfaces|vmac_prefix|vmac_addr_prefix|promote_secondaries|debug|kernel_rx_buf_size|umask|reload_.*|config_save_dir|tmp_config_directory|data_use_instance|random_seed|include_check|child_wait_time)$/,
    'Koi has no such setting',
    'nothing',
  ),
];

/** Why a statement has no counterpart, and what to do instead. */
export function adviceFor(name: string): Why {
  const found = leftOutRows.find(({ names }) => names.test(name));
  return found ?? { reason: 'Koi has no counterpart that this import knows', remedy: 'compare with koi schema' };
}
