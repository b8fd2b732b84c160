import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltKoi, buildKoi } from './build.js';
import { Host, isRoot, type Running, router } from './host.js';
import { NotifyReceiver } from './notify-receiver.js';

/** Beside the two processes that units start stands a real socket, as a service manager's: what do they say to it? */
describe.skipIf(!isRoot)('a service manager hears from agent and dataplane (needs root)', () => {
  let built: BuiltKoi;
  let host: Host;
  const receivers: NotifyReceiver[] = [];

  beforeAll(() => {
    built = buildKoi();
    host = new Host(built.main);
  }, 120_000);
  afterAll(async () => {
    await host?.endAll();
    for (const receiver of receivers) receiver.close();
    host?.remove();
    built?.remove();
  });

  async function start(role: 'agent' | 'dataplane' | 'run'): Promise<{ koi: Running; manager: NotifyReceiver }> {
    const socket = host.file(`${role}.notify`);
    const manager = await NotifyReceiver.listen(socket);
    receivers.push(manager);
    const koi = host.koi(role, { before: ['env', `NOTIFY_SOCKET=${socket}`, 'WATCHDOG_USEC=1000000'] });
    return { koi, manager };
  }

  it('ready, its state, that it lives, a reload, and its end', async () => {
    host.configure();
    const { koi: agent, manager: ofAgent } = await start('agent');
    await ofAgent.hears('READY=1');
    await ofAgent.hears('STATUS=no dataplane; the log cannot be reached: ');
    const { koi: dataplane, manager: ofDataplane } = await start('dataplane');
    await ofDataplane.hears('READY=1');
    await ofAgent.hears('STATUS=joined to the dataplane; ');
    await ofDataplane.hears('STATUS=master of gw');
    for (const manager of [ofAgent, ofDataplane]) await manager.hears('WATCHDOG=1', 3);

    // Its message is what a manager of the kind notify-reload wants: when it began, on the monotonic clock.
    host.configure({ virtualRouters: `[${router({ priority: '150' })}]` });
    dataplane.signal('SIGHUP');
    await ofDataplane.hears('RELOADING=1\nMONOTONIC_USEC=');
    await ofDataplane.hears('READY=1', 2);
    await ofAgent.hears('RELOADING=1\nMONOTONIC_USEC=');
    await ofAgent.hears('READY=1', 2);

    dataplane.signal('SIGTERM');
    await ofDataplane.hears('STOPPING=1');
    expect((await dataplane.end()).how).toBe(0);
    agent.signal('SIGTERM');
    await ofAgent.hears('STOPPING=1');
    expect((await agent.end()).how).toBe(0);
    // Nothing that they start speaks for them: NotifyAccess=main would have refused it, and said so in the journal.
    for (const manager of [ofAgent, ofDataplane]) {
      expect(new Set(manager.heard.map(({ pid }) => pid)).size).toBe(1);
    }
  }, 90_000);

  it('koi run, once both answer, in its own name', async () => {
    host.configure();
    const { koi, manager } = await start('run');
    await manager.hears('READY=1');
    await manager.hears('WATCHDOG=1', 2);
    await host.becomesMaster('provisional');
    koi.signal('SIGTERM');
    expect((await koi.end()).how).toBe(0);
    await manager.hears('STOPPING=1');
    expect(new Set(manager.heard.map(({ pid }) => pid))).toEqual(new Set([koi.pid]));
  }, 90_000);
});
