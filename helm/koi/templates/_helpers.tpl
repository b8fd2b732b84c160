{{- define "koi.name" -}}
{{- .Release.Name | trunc 24 | trimSuffix "-" -}}
{{- end -}}

{{- define "koi.labels" -}}
app.kubernetes.io/name: koi
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* (dict "root" $ "component" NAME) */}}
{{- define "koi.selector" -}}
app.kubernetes.io/name: koi
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* (dict "root" $ "own" .Values.agent.image) */}}
{{- define "koi.image" -}}
{{- $image := merge (dict) (.own | default dict) .root.Values.image -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- define "koi.pullPolicy" -}}
{{- (merge (dict) (.own | default dict) .root.Values.image).pullPolicy -}}
{{- end -}}

{{- define "koi.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "koi.name" .) -}}
{{- end -}}

{{- define "koi.secretName" -}}
{{- .Values.secrets.existing | default (printf "%s-secrets" (include "koi.name" .)) -}}
{{- end -}}

{{- define "koi.logName" -}}
{{- printf "%s-log" (include "koi.name" .) -}}
{{- end -}}

{{/* The host name of one of the log's servers: (dict "root" $ "ordinal" N) */}}
{{- define "koi.logHost" -}}
{{- $name := include "koi.logName" .root -}}
{{- printf "%s-%d.%s.%s.svc.%s" $name (int .ordinal) $name .root.Release.Namespace .root.Values.log.embedded.clusterDomain -}}
{{- end -}}

{{/* How many servers keep each event: as many as there are, three at most. */}}
{{- define "koi.config" -}}
{{- $root := . -}}
{{- $config := deepCopy .Values.config -}}
{{- if .Values.log.embedded.enabled -}}
{{- if $config.log -}}
{{- fail "config.log and log.embedded.enabled exclude each other: with log.embedded the chart writes config.log itself. Remove config.log, or set log.embedded.enabled=false" -}}
{{- end -}}
{{- $servers := list -}}
{{- range $ordinal := until (int .Values.log.embedded.replicas) -}}
{{- $servers = append $servers (printf "nats://%s:4222" (include "koi.logHost" (dict "root" $root "ordinal" $ordinal))) -}}
{{- end -}}
{{- $log := dict "servers" $servers "replicas" (min 3 (int .Values.log.embedded.replicas)) "user" "koi" "passwordFile" "/etc/koi/secrets/nats.pass" -}}
{{- $_ := set $config "log" $log -}}
{{- else if not $config.log -}}
{{- fail "config.log is missing: name NATS servers in config.log.servers, or let the chart run them with log.embedded.enabled=true" -}}
{{- end -}}
{{- $_ := set $config "node" "${KOI_NODE}" -}}
{{- $_ := set $config "control" "/run/koi/koi.sock" -}}
{{- $_ := set $config "stateDir" "/var/lib/koi" -}}
{{- $listen := dig "http" "listen" "" $config -}}
{{- if not (hasSuffix (printf ":%d" (int .Values.httpPort)) $listen) -}}
{{- fail (printf "config.http.listen is %q and httpPort is %d: probes and the PodMonitor would ask another port. Give both the same" $listen (int .Values.httpPort)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The configuration of one node: (dict "root" $ "name" NODE "own" OVERRIDES) */}}
{{- define "koi.nodeConfig" -}}
{{- $config := include "koi.config" .root | fromYaml -}}
{{- $own := .own -}}
{{- $node := .name -}}
{{- $single := $own.virtualRouters | default dict -}}
{{- $names := list -}}
{{- $routers := list -}}
{{- range $router := $config.virtualRouters -}}
{{- $names = append $names $router.name -}}
{{- $changed := deepCopy $router -}}
{{- if and (hasKey $own "priority") (eq ($router.protocol | default "") "carp") -}}
{{- fail (printf "nodes.%s.priority: the virtual router %s speaks CARP, which has no priority. Use nodes.%s.virtualRouters.%s.carp.advskew, the lower wins" $node $router.name $node $router.name) -}}
{{- end -}}
{{- range $key, $value := (pick $own "interface" "priority") -}}
{{- $_ := set $changed $key $value -}}
{{- end -}}
{{- range $key, $value := (get $single $router.name | default dict) -}}
{{- if has $key (list "carp" "preempt" "unicast") -}}
{{- /* What is not named here stays as config has it: the password's file above all. */ -}}
{{- $_ := set $changed $key (mergeOverwrite (deepCopy (get $changed $key | default dict)) $value) -}}
{{- else -}}
{{- $_ := set $changed $key $value -}}
{{- end -}}
{{- end -}}
{{- $routers = append $routers $changed -}}
{{- end -}}
{{- range $name := keys $single | sortAlpha -}}
{{- if not (has $name $names) -}}
{{- fail (printf "nodes.%s.virtualRouters.%s: config.virtualRouters has no virtual router of that name; there are %s" $node $name (join ", " $names)) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $config "virtualRouters" $routers -}}
{{- toYaml $config -}}
{{- end -}}

{{/* What a running dataplane cannot take in by a reload. The names of nodes: one that is new has another file. */}}
{{- define "koi.dataplaneChecksum" -}}
{{- $config := include "koi.config" . | fromYaml -}}
{{- $fixed := pick $config "cluster" "guard" "lanKeyFile" -}}
{{- list $fixed (keys .Values.nodes | sortAlpha) .Values.secrets | toJson | sha256sum -}}
{{- end -}}

{{/* The agent's has log, http and lease besides. */}}
{{- define "koi.agentChecksum" -}}
{{- $config := include "koi.config" . | fromYaml -}}
{{- list (include "koi.dataplaneChecksum" .) (pick $config "log" "http" "lease") | toJson | sha256sum -}}
{{- end -}}

{{- define "koi.environment" -}}
- name: KOI_NODE
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
- name: KOI_HOST_IP
  valueFrom: {fieldRef: {fieldPath: status.hostIP}}
{{- end -}}

{{- define "koi.unprivileged" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* What the DaemonSets and the test have in common. */}}
{{- define "koi.podShape" -}}
serviceAccountName: {{ include "koi.serviceAccount" . }}
# Koi never asks the API server: a virtual IP in front of it has to work before it does.
automountServiceAccountToken: false
{{ include "koi.placeOnNode" . }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "koi.placeOnNode" -}}
hostNetwork: true
# The names of the log's servers are the cluster's.
dnsPolicy: ClusterFirstWithHostNet
enableServiceLinks: false
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Directories of the host belong to root when the kubelet makes them. Their owner may give them to a group of its own. */}}
{{- define "koi.prepare" -}}
- name: prepare
  image: {{ include "koi.image" (dict "root" .root "own" .own) }}
  imagePullPolicy: {{ include "koi.pullPolicy" (dict "root" .root "own" .own) }}
  command: [koi-node, prepare]
  securityContext:
    runAsUser: 0
    runAsGroup: 65532
    {{- include "koi.unprivileged" . | nindent 4 }}
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {memory: 64Mi}
  volumeMounts:
    - {name: run, mountPath: /run/koi}
    - {name: state, mountPath: /var/lib/koi}
{{- end -}}

{{- define "koi.mounts" -}}
- {name: config, mountPath: /etc/koi/config, readOnly: true}
- {name: secrets, mountPath: /etc/koi/secrets, readOnly: true}
- {name: run, mountPath: /run/koi}
- {name: state, mountPath: /var/lib/koi}
{{- end -}}

{{- define "koi.volumes" -}}
- name: config
  configMap: {name: {{ include "koi.name" . }}, defaultMode: 292}  # 0444
- name: secrets
  # Readable by the group that agent and dataplane share, and nobody else.
  secret: {secretName: {{ include "koi.secretName" . }}, defaultMode: 288}  # 0440
- name: run
  hostPath: {path: {{ .Values.runDir }}, type: DirectoryOrCreate}
- name: state
  hostPath: {path: {{ .Values.stateDir }}, type: DirectoryOrCreate}
{{- end -}}
