/** A Debian architecture, and the names that others have for it. */
export interface Architecture {
  readonly debian: 'amd64' | 'arm64';
  /** `process.arch` of Node, and what node-gyp calls it. */
  readonly node: 'x64' | 'arm64';
  /** GOARCH */
  readonly go: 'amd64' | 'arm64';
  /** Before the name of every tool of its compiler: `aarch64-linux-gnu-gcc`. */
  readonly triplet: string;
  /** What cross-compiles for it on another machine. */
  readonly compilerPackages: readonly string[];
  /** Of the npm package that holds the vendor's Node for it, as `npm view` tells it. */
  readonly nodeIntegrity: string;
}

/** The Node inside the package, and its ABI: the compiled modules work with no other one. */
export const nodeVersion = '24.21.0';
/** Of its release line: schedule.json of github.com/nodejs/Release. */
export const nodeEndOfLife = '2028-04-30';
export const nodeAbi = '137';
/** The nats-server inside the package: Debian's own is older than what Koi runs. */
export const natsVersion = 'v2.15.2';

export const architectures: readonly Architecture[] = [
  {
    debian: 'amd64',
    node: 'x64',
    go: 'amd64',
    triplet: 'x86_64-linux-gnu',
    compilerPackages: ['gcc-x86-64-linux-gnu', 'g++-x86-64-linux-gnu'],
    nodeIntegrity: 'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
  },
  {
    debian: 'arm64',
    node: 'arm64',
    go: 'arm64',
    triplet: 'aarch64-linux-gnu',
    compilerPackages: ['gcc-aarch64-linux-gnu', 'g++-aarch64-linux-gnu'],
    nodeIntegrity: 'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
  },
];
