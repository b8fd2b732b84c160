import { type FSWatcher, watch } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { FileTrack } from '../../config/config.js';
import type { OnReading, Reading, Watching } from './watching.js';

/** More than any number takes. */
const fileBytesMax = 64;

/**
 * The number in a file: at once after a change, and by looking again at each interval, since not every file system
 * tells of changes. A file that is absent, empty or holds something else counts as 0, as in keepalived.
 */
export function watchFile(track: FileTrack, onReading: OnReading): Watching {
  let told: number | undefined;
  let isStopped = false;
  let isReading = false;
  let isStale = false;
  let watcher: FSWatcher | undefined;

  const look = async (): Promise<void> => {
    if (isReading) {
      isStale = true;
      return;
    }
    isReading = true;
    do {
      isStale = false;
      const reading = await readNumber(track.file);
      if (isStopped) return;
      if (reading.level === told) continue;
      told = reading.level;
      onReading(reading);
    } while (isStale);
    isReading = false;
  };
  // The folder is watched, not the file, since whoever replaces a file makes another one.
  const follow = (): void => {
    if (watcher !== undefined || isStopped) return;
    try {
      watcher = watch(dirname(track.file), (_event, name) => {
        if (name === null || name === basename(track.file)) void look();
      });
      watcher.on('error', () => {
        watcher?.close();
        watcher = undefined;
      });
    } catch {
      // The folder is not there yet; the next look tries again.
      watcher = undefined;
    }
  };
  const turn = (): void => {
    follow();
    void look();
  };
  turn();
  const timer = setInterval(turn, track.intervalMs);
  return {
    stop() {
      isStopped = true;
      clearInterval(timer);
      watcher?.close();
    },
  };
}

async function readNumber(path: string): Promise<Reading & { readonly level: number }> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r');
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(fileBytesMax), 0, fileBytesMax, 0);
    const text = buffer.toString('utf8', 0, bytesRead).trim();
    if (/^[+-]?\d{1,9}$/.test(text)) return { level: Number(text), detail: `${path} says ${text}` };
    return { level: 0, detail: text === '' ? `${path} is empty` : `${path} holds no number` };
  } catch (error) {
    return { level: 0, detail: `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}` };
  } finally {
    await handle?.close();
  }
}
