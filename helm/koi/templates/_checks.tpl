{{/* What the schema cannot say: values that have to agree. Each message names the field, and what to give it. */}}
{{- define "koi.checks" -}}
{{- with .Values.dataplane -}}
{{- include "koi.checkGrace" (dict "of" "dataplane" "grace" .terminationGracePeriodSeconds "before" "drainSeconds" "seconds" .drainSeconds) -}}
{{- end -}}
{{- with .Values.agent -}}
{{- include "koi.checkGrace" (dict "of" "agent" "grace" .terminationGracePeriodSeconds "before" "lingerSeconds" "seconds" .lingerSeconds) -}}
{{- end -}}
{{- include "koi.checkRollout" . -}}
{{- range $node := keys .Values.nodes | sortAlpha -}}
{{- if gt (len $node) 32 -}}
{{- fail (printf "nodes.%s: the name of a node in Koi has at most 32 characters, and this has %d" $node (len $node)) -}}
{{- end -}}
{{- end -}}
{{- include "koi.checkLogServers" . -}}
{{- include "koi.checkRouters" . -}}
{{- include "koi.checkSecretFiles" . -}}
{{- if .Values.secrets.existing -}}
{{- if .Values.secrets.data -}}
{{- fail "secrets.existing and secrets.data exclude each other: nothing is added to a Secret of yours. Put the files of secrets.data into it, or let the chart make one" -}}
{{- end -}}
{{- include "koi.checkExistingSecret" . -}}
{{- else -}}
{{- include "koi.checkSecrets" . -}}
{{- end -}}
{{- with .Values.log.embedded -}}
{{- if .enabled -}}
{{- include "koi.checkStore" . -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "koi.checkLogServers" -}}
{{- range $index, $server := (.Values.config.log | default dict).servers -}}
{{- if not (regexMatch "^(nats|tls)://[^/@]+$" $server) -}}
{{- fail (printf "config.log.servers[%d] is %q, which is no server of NATS: write it as nats://HOST:4222, or tls://HOST:4222" $index $server) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What would stop every pod, and is plain to see before there is one. koi check looks closer. */}}
{{- define "koi.checkRouters" -}}
{{- $octet := "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])" -}}
{{- $ipv4 := printf "^(%s\\.){3}%s(/(3[0-2]|[12][0-9]|[1-9]))?$" $octet $octet -}}
{{- $ipv6 := "^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/(12[0-8]|1[01][0-9]|[1-9][0-9]?))?$" -}}
{{- $tracks := list -}}
{{- range .Values.config.track -}}
{{- $tracks = append $tracks .name -}}
{{- end -}}
{{- $names := dict -}}
{{- $addresses := dict -}}
{{- range $index, $router := .Values.config.virtualRouters -}}
{{- $at := printf "config.virtualRouters[%d]" $index -}}
{{- if hasKey $names $router.name -}}
{{- fail (printf "%s.name: %q is the name of another one. Give each its own" $at $router.name) -}}
{{- end -}}
{{- $_ := set $names $router.name $index -}}
{{- range $place, $entry := $router.addresses -}}
{{- $address := $entry -}}
{{- if kindIs "map" $entry -}}
{{- $address = $entry.address -}}
{{- end -}}
{{- if not (or (regexMatch $ipv4 $address) (regexMatch $ipv6 $address)) -}}
{{- fail (printf "%s.addresses[%d] is %q, which is no address: write it with the prefix length of its network, as 10.0.0.11/24 or 2001:db8::11/64" $at $place $address) -}}
{{- end -}}
{{- $host := printf "%s %s" (regexReplaceAll "/.*$" $address "") ($router.namespace | default "" | toJson) -}}
{{- if hasKey $addresses $host -}}
{{- fail (printf "%s.addresses[%d]: %s is an address of %s already. An address has one virtual router" $at $place $address (get $addresses $host)) -}}
{{- end -}}
{{- $_ := set $addresses $host $at -}}
{{- end -}}
{{- range $place, $track := $router.track -}}
{{- if not (has $track $tracks) -}}
{{- fail (printf "%s.track[%d]: config.track has nothing of the name %q; there is %s" $at $place $track (join ", " $tracks | default "nothing in it")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A daemon's own stop takes up to 15 s after its preStop. */}}
{{- define "koi.checkGrace" -}}
{{- $least := add 15 (int .seconds) -}}
{{- if lt (int .grace) (int $least) -}}
{{- fail (printf "%s.terminationGracePeriodSeconds is %d: preStop takes up to %s.%s (%d s) and the stop after it up to 15 s. Give it %d or more" .of (int .grace) .of .before (int .seconds) (int $least)) -}}
{{- end -}}
{{- end -}}

{{/* A pod ends within its grace, and starts within a minute. */}}
{{- define "koi.checkRollout" -}}
{{- $least := add (int .Values.dataplane.terminationGracePeriodSeconds) 60 (int .Values.minReadySeconds) -}}
{{- if and .Values.rollout.enabled (lt (int .Values.rollout.nodeTimeoutSeconds) (int $least)) -}}
{{- fail (printf "rollout.nodeTimeoutSeconds is %d: a pod may take dataplane.terminationGracePeriodSeconds to end, a minute to start, and minReadySeconds. Give it %d or more" (int .Values.rollout.nodeTimeoutSeconds) (int $least)) -}}
{{- end -}}
{{- end -}}

{{/* The pods see the files of one Secret, and no other file of the node. */}}
{{- define "koi.checkSecretFiles" -}}
{{- $config := .Values.config -}}
{{- $log := $config.log | default dict -}}
{{- $files := dict "config.lanKeyFile" $config.lanKeyFile -}}
{{- range $key := list "credentials" "passwordFile" "nkey" -}}
{{- $_ := set $files (printf "config.log.%s" $key) (get $log $key) -}}
{{- end -}}
{{- range $key, $file := $log.tls | default dict -}}
{{- $_ := set $files (printf "config.log.tls.%s" $key) $file -}}
{{- end -}}
{{- range $index, $router := $config.virtualRouters -}}
{{- $at := printf "config.virtualRouters[%d]" $index -}}
{{- $_ := set $files (printf "%s.carp.passwordFile" $at) (dig "carp" "passwordFile" "" $router) -}}
{{- $_ := set $files (printf "%s.vrrp2.auth.passwordFile" $at) (dig "vrrp2" "auth" "passwordFile" "" $router) -}}
{{- $_ := set $files (printf "%s.authHmac.keyFile" $at) (dig "authHmac" "keyFile" "" $router) -}}
{{- end -}}
{{- range $node, $own := .Values.nodes -}}
{{- range $name, $router := $own.virtualRouters | default dict -}}
{{- $_ := set $files (printf "nodes.%s.virtualRouters.%s.carp.passwordFile" $node $name) (dig "carp" "passwordFile" "" $router) -}}
{{- end -}}
{{- end -}}
{{- range $field, $file := $files -}}
{{- if and $file (not (hasPrefix "/etc/koi/secrets/" $file)) -}}
{{- fail (printf "%s is %s, which no pod has: the files of the Secret are in /etc/koi/secrets/. Put it into the Secret, and name it as /etc/koi/secrets/%s" $field $file (base $file)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The files that the configuration names, and those of the log in the cluster. */}}
{{- define "koi.secretFiles" -}}
{{- $names := list -}}
{{- if .Values.log.embedded.enabled -}}
{{- $names = append $names "nats.pass" -}}
{{- end -}}
{{- range $file := regexFindAll "/etc/koi/secrets/[^\"]+" (list .Values.config .Values.nodes | toJson) -1 -}}
{{- $names = append $names (trimPrefix "/etc/koi/secrets/" $file) -}}
{{- end -}}
{{- $names | uniq | toJson -}}
{{- end -}}

{{/*
Only where helm can ask: what is merely rendered knows nothing of the cluster. Every namespace has the one ConfigMap, and
whoever may install the chart may read it.
*/}}
{{- define "koi.checkExistingSecret" -}}
{{- $name := .Values.secrets.existing -}}
{{- $namespace := .Release.Namespace -}}
{{- if lookup "v1" "ConfigMap" $namespace "kube-root-ca.crt" -}}
{{- $secret := lookup "v1" "Secret" $namespace $name -}}
{{- if not $secret -}}
{{- fail (printf "secrets.existing: there is no Secret %s in the namespace %s. Make it: kubectl -n %s create secret generic %s --from-file=lan.key" $name $namespace $namespace $name) -}}
{{- end -}}
{{- range $file := include "koi.secretFiles" . | fromJsonArray -}}
{{- if not (hasKey ($secret.data | default dict) $file) -}}
{{- fail (printf "secrets.existing: the Secret %s has no key %s, which the configuration names as /etc/koi/secrets/%s. Add it" $name $file $file) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "koi.checkSecrets" -}}
{{- $made := append (keys .Values.secrets.data) "lan.key" -}}
{{- if .Values.log.embedded.enabled -}}
{{- $made = append $made "nats.pass" -}}
{{- end -}}
{{- range $name := include "koi.secretFiles" . | fromJsonArray -}}
{{- if not (has $name $made) -}}
{{- fail (printf "secrets.data.%s is missing: the configuration names the file /etc/koi/secrets/%s. Give its content there, or a Secret of yours that has it in secrets.existing" $name $name) -}}
{{- end -}}
{{- end -}}
{{- $key := index .Values.secrets.data "lan.key" | default "" -}}
{{- if and $key (lt (len $key) 16) -}}
{{- fail "secrets.data.lan.key is too short for a key: it takes at least 16 bytes. Make one with `openssl rand -hex 32`, or leave it to the chart" -}}
{{- end -}}
{{- end -}}

{{- define "koi.checkStore" -}}
{{- $size := .storage.size -}}
{{- if regexMatch "^[0-9]+[MGT]i$" $size -}}
{{- $unit := dict "Mi" 1 "Gi" 1024 "Ti" 1048576 -}}
{{- $has := mul (regexFind "^[0-9]+" $size) (get $unit (regexFind "[MGT]i$" $size)) -}}
{{- $may := mul (regexFind "^[0-9]+" .maxStore) (get $unit (regexFind "[MG]i" .maxStore)) -}}
{{- if ge $may $has -}}
{{- fail (printf "log.embedded.maxStore is %s and log.embedded.storage.size %s: the log would fill its volume. Make the volume larger than the store" .maxStore $size) -}}
{{- end -}}
{{- end -}}
{{- end -}}
