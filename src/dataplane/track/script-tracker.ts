import type { ScriptTrack } from '../../config/config.js';
import { runCommand } from './command.js';
import { poll } from './polling.js';
import { explainOutcome } from './runner-protocol.js';
import type { OnReading, Watching } from './watching.js';

/** Up while the script exits with 0 in time. It is told by `KOI_TRACK` for which entry of the configuration it runs. */
export function watchScript(track: ScriptTrack, onReading: OnReading): Watching {
  const { command, user, timeoutMs, intervalMs, rise, fall } = track;
  const look = async () => {
    const { outcome, output } = await runCommand({ command, user, timeoutMs, environment: { KOI_TRACK: track.name } });
    const fault = explainOutcome(outcome);
    const said = output === '' ? '' : `: ${output.split('\n').at(-1) ?? ''}`;
    return { isOk: fault === undefined, detail: `${fault ?? 'it exited with 0'}${said}` };
  };
  return poll({ intervalMs, rise, fall, look, onReading });
}
