import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { waitUntil } from '../lab/wait.js';

/** Node has no unix datagrams, and Koi's own code must not judge itself: the other end is Python's. */
const program = `
import json, socket, sys
name = sys.argv[1]
inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
inbox.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
inbox.bind("\\0" + name[1:] if name.startswith("@") else name)
print(json.dumps({"listening": True}), flush=True)
while True:
    data, ancillary, flags, sender = inbox.recvmsg(65536, socket.CMSG_SPACE(12))
    pid = int.from_bytes(ancillary[0][2][:4], sys.byteorder) if ancillary else None
    print(json.dumps({"text": data.decode(), "pid": pid}), flush=True)
`;

const deadlineMs = 30_000;

/** The socket of a service manager: what it is told, and by which process. */
export class NotifyReceiver {
  readonly heard: { readonly text: string; readonly pid: number | null }[] = [];
  readonly #child: ChildProcess;
  #listening = false;

  private constructor(address: string) {
    this.#child = spawn('python3', ['-c', program, address], { stdio: ['ignore', 'pipe', 'inherit'] });
    if (this.#child.stdout === null) throw new Error('no pipe');
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const said = JSON.parse(line) as { listening?: boolean; text: string; pid: number | null };
      if (said.listening === true) this.#listening = true;
      else this.heard.push({ text: said.text, pid: said.pid });
    });
  }

  /** @param address a path, or an abstract address with '@' before it */
  static async listen(address: string): Promise<NotifyReceiver> {
    const receiver = new NotifyReceiver(address);
    await waitUntil('the socket', () => (receiver.#listening ? undefined : 'it does not listen yet'), { deadlineMs });
    return receiver;
  }

  get messages(): string[] {
    return this.heard.map(({ text }) => text);
  }

  count(text: string): number {
    return this.heard.filter((each) => each.text === text).length;
  }

  /** Waits for a message that begins so, `times` times in all. */
  async hears(beginning: string, times = 1): Promise<void> {
    const missing = (): string | undefined =>
      this.messages.filter((text) => text.startsWith(beginning)).length >= times
        ? undefined
        : `it heard ${JSON.stringify(this.messages)}`;
    await waitUntil(`${beginning} ${times} times`, missing, { deadlineMs });
  }

  pause(): void {
    this.#child.kill('SIGSTOP');
  }

  resume(): void {
    this.#child.kill('SIGCONT');
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }
}
