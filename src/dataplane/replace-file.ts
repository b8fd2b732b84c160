import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** The file has this content, on disk, or the one before: written beside it, fsynced, renamed, the directory fsynced. */
export async function replaceFile(file: string, content: string): Promise<void> {
  const temporary = `${file}.new`;
  // The directory is another user's, too: what lies there under this name, a symbolic link, is not written through.
  await rm(temporary, { force: true });
  await withFile(temporary, 'wx', async (handle) => {
    await handle.writeFile(content);
    await handle.sync();
  });
  await rename(temporary, file);
  await withFile(dirname(file), 'r', (directory) => directory.sync());
}

async function withFile(path: string, flags: string, use: (handle: FileHandle) => Promise<void>): Promise<void> {
  const handle = await open(path, flags, 0o640);
  try {
    await use(handle);
  } finally {
    await handle.close();
  }
}
