import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parseConfig } from '../../src/config/load.js';
import { judgeTracks, type TrackLevel } from '../../src/core/tracking.js';
import { diskFiles } from '../../src/import/disk-files.js';
import { importKeepalived } from '../../src/import/import-keepalived.js';
import { PortRecorder } from '../interop/port-recorder.js';
import { run } from '../lab/ip.js';
import { createTopology } from '../lab/topology.js';
import { observeFor, waitUntil } from '../lab/wait.js';
import { advertsOf } from './observation.js';
import { keepalivedKeeper } from './pair.js';

/*
 * What a weight means, with and without `reverse`, of things that are up and down: the priority that keepalived sends is
 * the one that Koi makes of the imported file. Its manual page is not right about all of that.
 */
const outputDirectory = fileURLToPath(new URL('../../.lab/import', import.meta.url));
const priority = 100;
const number = 7;
const things: Readonly<Record<string, { readonly list: string; readonly name: string; readonly level: TrackLevel }>> = {
  'an interface that is up': { list: 'track_interface', name: 'eth0', level: { kind: 'up' } },
  'an interface that is down': { list: 'track_interface', name: 'lo', level: { kind: 'down' } },
  'a script that succeeds': { list: 'track_script', name: 'good', level: { kind: 'up' } },
  'a script that fails': { list: 'track_script', name: 'bad', level: { kind: 'down' } },
  'a file with a number': { list: 'track_file', name: 'seven', level: { kind: 'number', value: number } },
  'a process that is not there': { list: 'track_process', name: 'absent', level: { kind: 'down' } },
};
const weights = ['', 'weight 20', 'weight 20 reverse', 'weight -20', 'weight -20 reverse', 'weight 0 reverse'];
const rows = Object.entries(things).flatMap(([what, thing]) => weights.map((weight) => ({ what, weight, ...thing })));

const missing = process.getuid?.() !== 0 || !existsSync('/usr/sbin/keepalived');

test.skipIf(missing)('weights mean the same in keepalived and in Koi (needs root and keepalived)', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'koi-weights-'));
  const topology = createTopology({ routerCount: 1, logHostCount: 0 });
  try {
    const [router] = topology.routers;
    if (router === undefined) throw new Error('the topology has no router');
    run('ip', ['-n', router.netns, 'link', 'set', 'lo', 'down']);
    const file = join(directory, 'keepalived.conf');
    writeFileSync(join(directory, 'seven'), `${number}\n`);
    writeFileSync(file, configuration(directory));
    mkdirSync(outputDirectory, { recursive: true });
    const capture = join(outputDirectory, 'weights.pcap');
    writeFileSync(capture, '');
    const recorder = new PortRecorder(topology.switchNetns, router.switchPort, capture);
    await recorder.ready();
    keepalivedKeeper(router, file, directory).start();

    const wanted = wantedPriorities(file);
    const sent = () => new Map(advertsOf(recorder.frames).map(({ vrid, priority: said }) => [vrid, said]));
    const differ = (): string[] =>
      rows.flatMap(({ what, weight }, at) => {
        const [said, should] = [sent().get(at + 1), wanted[at]];
        return said === should ? [] : [`${what}, ${weight || 'no weight'}: keepalived ${said}, Koi ${should}`];
      });
    const look = () => differ().join('\n') || undefined;
    await waitUntil('keepalived to send what Koi makes of it', look, { deadlineMs: 10_000, everyMs: 100 });
    // Those in fault stay silent.
    await observeFor(500);
    expect(differ()).toEqual([]);
    expect(wanted.filter((each) => each === undefined).length).toBe(5);
    await recorder.stop();
  } finally {
    topology.remove();
    rmSync(directory, { recursive: true, force: true });
  }
});

const addressOf = (at: number): string => `10.77.0.${150 + at}`;

function configuration(directory: string): string {
  const instances = rows.map(
    ({ list, name, weight }, at) => `vrrp_instance i${at} {
  interface eth1
  virtual_router_id ${at + 1}
  priority ${priority}
  advert_int 0.1
  ${list} {
    ${name} ${weight}
  }
  virtual_ipaddress {
    ${addressOf(at)}/24
  }
}
`,
  );
  return `global_defs {
  vrrp_version 3
}
vrrp_script good {
  script /bin/true
}
vrrp_script bad {
  script /bin/false
}
track_file seven {
  file ${join(directory, 'seven')}
}
vrrp_track_process absent {
  process koi-is-not-there
}
${instances.join('')}`;
}

/** By the rules of the core; undefined where the virtual router is in fault, and sends nothing. */
function wantedPriorities(file: string): readonly (number | undefined)[] {
  const result = importKeepalived(file, { files: diskFiles, findProgram: () => undefined, configId: 'r1', node: 'r1' });
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  const parsed = parseConfig(result.config, { environment: {} });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  const { virtualRouters, track } = parsed.config;
  return rows.map(({ level }, at) => {
    const name = virtualRouters[at]?.track[0];
    const found = track.find((each) => each.name === name);
    if (found === undefined) throw new Error(`instance ${at} tracks nothing`);
    const { adjustment, failed } = judgeTracks([{ ...found, level }]);
    return failed.length > 0 ? undefined : Math.min(254, Math.max(1, priority + adjustment));
  });
}
