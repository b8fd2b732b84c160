import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { observeFor, waitUntil } from '../lab/wait.js';
import { type ContainerPlace, type Mount, RunningContainer } from './container.js';
import type { ImageRoot } from './image-root.js';
import type { Container, PodSpec, Probe, Volume } from './manifest.js';
import { type Finished, runAsync } from './run-async.js';

export interface NodePlace {
  readonly name: string;
  readonly netns: string;
  readonly hostIp: string;
  readonly directory: string;
  readonly image: ImageRoot;
}

/** What a pod's volumes refer to. */
export interface Objects {
  readonly configMaps: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** In base64, as the API server has them. */
  readonly secrets: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Where pods find the API server, and what those are given that may ask it. */
  readonly api?: { readonly host: string; readonly port: number; readonly files: Readonly<Record<string, string>> };
}

/** In the image /var/run leads to /run; through the link it would be the host's. */
const tokenFolder = '/run/secrets/kubernetes.io/serviceaccount';

const startDeadlineMs = 60_000;

/** Starts and stops the pods of one node, in the order and with the patience of a kubelet. */
export class Kubelet {
  readonly place: NodePlace;
  readonly #objects: Objects;
  readonly #pods = new Map<string, { readonly spec: PodSpec; readonly containers: RunningContainer[] }>();

  constructor(place: NodePlace, objects: Objects) {
    this.place = place;
    this.#objects = objects;
    mkdirSync(place.directory, { recursive: true });
    chmodSync(place.directory, 0o755);
  }

  /** A path of the host, which here is the node's own. */
  hostPath(path: string): string {
    return path === '/proc/sys/net' ? path : join(this.place.directory, 'host', path);
  }

  /** Whether a pod was ever started here. */
  has(pod: string): boolean {
    return this.#pods.has(pod);
  }

  container(pod: string, name: string): RunningContainer {
    const found = this.#pods.get(pod)?.containers.find(({ spec }) => spec.name === name);
    if (found === undefined) throw new Error(`${this.place.name} has no container ${name} in a pod ${pod}`);
    return found;
  }

  /** What every container has said, for an error's sake. */
  lastWords(bytes = 2_000): string {
    const all = [...this.#pods].flatMap(([pod, { containers }]) => containers.map((each) => ({ pod, each })));
    return all
      .map(({ pod, each }) => {
        const said = readFileSync(each.logFile, 'utf8').slice(-bytes);
        return `── ${this.place.name} ${pod}/${each.spec.name} (${each.ended ?? 'running'})\n${said}`;
      })
      .join('\n');
  }

  /** Init containers one after the other, then all containers at once; resolves when every startup probe has passed. */
  async start(pod: string, spec: PodSpec): Promise<void> {
    const volumes = this.#volumes(pod, spec);
    const make = (container: Container): RunningContainer =>
      new RunningContainer(container, this.#containerPlace(pod, container, spec, volumes));
    for (const each of spec.initContainers) {
      const { code, said } = await this.#complete(make(each));
      if (code !== 0) throw new Error(`${each.name} ended with ${code}: ${said}`);
    }
    const containers = spec.containers.map(make);
    this.#pods.set(pod, { spec, containers });
    for (const each of containers) each.start();
    await this.#until(pod, 'startupProbe');
  }

  ready(pod: string): Promise<void> {
    return this.#until(pod, 'readinessProbe');
  }

  /** preStop, then SIGTERM, for all containers at once, within the pod's grace. Throws where one had to be killed. */
  async stop(pod: string): Promise<void> {
    const { spec, containers } = this.#pods.get(pod) ?? { spec: undefined, containers: [] };
    const graceMs = (spec?.terminationGracePeriodSeconds ?? 0) * 1_000;
    const stopOne = async (each: RunningContainer): Promise<void> => {
      const fromMs = performance.now();
      const command = each.spec.lifecycle?.preStop.exec.command;
      const before = command === undefined ? undefined : await each.exec(command, graceMs);
      if (before !== undefined && before.code !== 0) {
        throw new Error(`preStop of ${each.spec.name} ended with ${before.code}: ${before.said}`);
      }
      const { killed } = await each.stop(Math.max(2_000, graceMs - (performance.now() - fromMs)));
      if (killed) throw new Error(`${each.spec.name} did not end within its grace of ${graceMs} ms`);
    };
    await Promise.all(containers.map(stopOne));
  }

  /** As a DaemonSet does it: the pod of this node is replaced, and looked at until it has been ready for a while. */
  async replace(pod: string, spec: PodSpec, minReadySeconds: number): Promise<void> {
    await this.stop(pod);
    await this.start(pod, spec);
    await this.ready(pod);
    await observeFor(minReadySeconds * 1_000);
    await this.ready(pod);
  }

  /** Runs the one container of a pod to its end. */
  once(pod: string, spec: PodSpec, deadlineMs = startDeadlineMs): Promise<Finished> {
    return this.#complete(this.single(pod, spec), deadlineMs);
  }

  /** The one container of a pod, which is not started yet. */
  single(pod: string, spec: PodSpec): RunningContainer {
    const volumes = this.#volumes(pod, spec);
    const [container] = spec.containers;
    if (container === undefined) throw new Error(`${pod} has no container`);
    return new RunningContainer(container, this.#containerPlace(pod, container, spec, volumes));
  }

  async #complete(container: RunningContainer, deadlineMs = startDeadlineMs): Promise<Finished> {
    rmSync(container.logFile, { force: true });
    container.start();
    const notYet = (): string | undefined => (container.running ? 'it still runs' : undefined);
    await waitUntil(`${container.spec.name} to end`, notYet, { deadlineMs });
    return { code: Number(container.ended), said: readFileSync(container.logFile, 'utf8') };
  }

  exec(pod: string, container: string, command: readonly string[]): Promise<Finished> {
    return this.container(pod, container).exec(command);
  }

  async #until(pod: string, kind: 'startupProbe' | 'readinessProbe'): Promise<void> {
    for (const each of this.#pods.get(pod)?.containers ?? []) {
      const probe = each.spec[kind];
      const notYet = async (): Promise<string | undefined> => {
        if (!each.running) throw new Error(`${each.spec.name} ended (${each.ended}):\n${this.lastWords()}`);
        if (probe === undefined) return undefined;
        const { code, said } = await this.#probe(each, probe);
        return code === 0 ? undefined : `exit code ${code} ${said}`;
      };
      await waitUntil(`${kind} of ${pod}/${each.spec.name}`, notYet, {
        deadlineMs: startDeadlineMs,
        everyMs: 100,
      }).catch((error: unknown) => {
        throw new Error(`${String(error)}\n${this.lastWords()}`);
      });
    }
  }

  /** Both kinds from where the kubelet makes them: in the container, or on its node. */
  #probe(each: RunningContainer, probe: Probe): Promise<Finished> {
    if ('exec' in probe) return each.exec(probe.exec.command, 3_000);
    const { port, path, host } = probe.httpGet;
    const number = typeof port === 'number' ? port : each.spec.ports.find(({ name }) => name === port)?.containerPort;
    const url = `http://${host ?? this.place.hostIp}:${number}${path}`;
    return runAsync('ip', ['netns', 'exec', this.place.netns, 'curl', '-sf', '-m', '3', url], process.env, 5_000);
  }

  #containerPlace(
    pod: string,
    container: Container,
    spec: PodSpec,
    volumes: ReadonlyMap<string, string>,
  ): ContainerPlace {
    const { securityContext } = spec;
    const { api } = this.#objects;
    const { netns, image, directory, name, hostIp } = this.place;
    const fields: Readonly<Record<string, string>> = { 'spec.nodeName': name, 'status.hostIP': hostIp };
    const own = container.env.map(({ name: variable, value, valueFrom }): [string, string] => {
      const given = value ?? fields[valueFrom?.fieldRef.fieldPath ?? ''];
      if (given === undefined) throw new Error(`${container.name}: nothing gives ${variable} a value`);
      return [variable, given];
    });
    const mounts = container.volumeMounts.map((mount): Mount => {
      const from = volumes.get(mount.name);
      if (from === undefined) throw new Error(`${container.name} mounts ${mount.name}, which is no volume of its pod`);
      return { from, to: mount.mountPath, readOnly: mount.readOnly };
    });
    if (spec.automountServiceAccountToken) {
      if (api === undefined) throw new Error(`${pod} wants a token, and there is no API server`);
      const from = this.#folderOf(pod, 'token', api.files, securityContext.fsGroup, 0o640);
      mounts.push({ from, to: tokenFolder, readOnly: true });
    }
    const service = api && { KUBERNETES_SERVICE_HOST: api.host, KUBERNETES_SERVICE_PORT: String(api.port) };
    return {
      netns,
      image,
      directory: join(directory, pod, container.name),
      mounts,
      environment: { ...image.environment, ...service, ...Object.fromEntries(own) },
      user: securityContext.runAsUser,
      group: securityContext.runAsGroup,
      groups: securityContext.fsGroup === undefined ? [] : [securityContext.fsGroup],
    };
  }

  #volumes(pod: string, spec: PodSpec): ReadonlyMap<string, string> {
    return new Map(spec.volumes.map((volume) => [volume.name, this.#volume(pod, volume, spec)]));
  }

  #volume(pod: string, { name, hostPath, configMap, secret }: Volume, { securityContext }: PodSpec): string {
    if (hostPath !== undefined) {
      const path = this.hostPath(hostPath.path);
      if (path !== hostPath.path) mkdirSync(path, { recursive: true });
      return path;
    }
    const encoded = this.#objects.secrets[secret?.secretName ?? ''];
    const files =
      configMap === undefined
        ? Object.entries(encoded ?? {}).map(([file, content]) => [file, Buffer.from(content, 'base64').toString()])
        : Object.entries(this.#objects.configMaps[configMap.name] ?? {});
    if (files.length === 0) throw new Error(`${pod} mounts ${name}, and there is nothing in it`);
    const mode = configMap?.defaultMode ?? secret?.defaultMode ?? 0o600;
    return this.#folderOf(pod, name, Object.fromEntries(files), securityContext.fsGroup, mode);
  }

  #folderOf(
    pod: string,
    name: string,
    files: Readonly<Record<string, string>>,
    group: number | undefined,
    mode: number,
  ): string {
    const folder = join(this.place.directory, pod, 'volumes', name);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    for (const [file, content] of Object.entries(files)) {
      const path = join(folder, file);
      writeFileSync(path, content);
      chownSync(path, 0, group ?? 0);
      chmodSync(path, mode);
    }
    return folder;
  }
}

/** Writes a file of a node's host, with its directory, for the group of the image's user. */
export function writeHostFile(kubelet: Kubelet, path: string, content: string, group = 65_532): void {
  const file = kubelet.hostPath(path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  chownSync(file, 0, group);
  chmodSync(file, 0o640);
}
