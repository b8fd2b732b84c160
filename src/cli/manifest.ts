import { resolve } from 'node:path';
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { namedFiles } from '../config/file-checks.js';
import { loadConfig } from '../config/load.js';
import { buildInfo } from '../observe/build-info.js';
import { staticPod } from './static-pod.js';

interface Options {
  readonly config: string;
  readonly image: string;
  readonly namespace: string;
  readonly json?: boolean;
}

export function define(command: Command): void {
  command
    .requiredOption('-c, --config <file>', 'the configuration file, where it lies on the node')
    .option('--image <image>', "Koi's image", `koi:${buildInfo().version}`)
    .option('--namespace <name>', 'the namespace that shows the pod', 'kube-system')
    .option('--json', 'print it as JSON')
    .addHelpText(
      'after',
      `
Prints a static pod: the kubelet runs it before there is an API server, whose address Koi then keeps. Directories that the
configuration names are mounted from the node, where group 65532 must be able to read the secrets.

Example:
  koi manifest -c /etc/koi/koi.yaml --image registry.example.org/koi:0.1.0 > /etc/kubernetes/manifests/koi.yaml
`,
    )
    .action((options: Options) => {
      const configFile = resolve(options.config);
      const { config, document } = loadConfig(configFile);
      const files = namedFiles(document).map(({ file }) => file);
      const { image, namespace } = options;
      const pod = staticPod(config, { image, namespace, configFile, files });
      const text =
        options.json === true ? `${JSON.stringify(pod, null, 2)}\n` : stringify(pod, { aliasDuplicateObjects: false });
      process.stdout.write(text);
    });
}
