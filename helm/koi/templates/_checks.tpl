{{/* What the schema cannot say: values that have to agree. Each message names the field, and what to give it. */}}
{{- define "koi.checks" -}}
{{- with .Values.dataplane -}}
{{- include "koi.checkGrace" (dict "of" "dataplane" "grace" .terminationGracePeriodSeconds "before" "drainSeconds" "seconds" .drainSeconds) -}}
{{- end -}}
{{- with .Values.agent -}}
{{- include "koi.checkGrace" (dict "of" "agent" "grace" .terminationGracePeriodSeconds "before" "lingerSeconds" "seconds" .lingerSeconds) -}}
{{- end -}}
{{- range $node := keys .Values.nodes | sortAlpha -}}
{{- if gt (len $node) 32 -}}
{{- fail (printf "nodes.%s: the name of a node in Koi has at most 32 characters, and this has %d" $node (len $node)) -}}
{{- end -}}
{{- end -}}
{{- include "koi.checkSecretFiles" . -}}
{{- if not .Values.secrets.existing -}}
{{- include "koi.checkSecrets" . -}}
{{- end -}}
{{- with .Values.log.embedded -}}
{{- if .enabled -}}
{{- include "koi.checkStore" . -}}
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

{{/* Of a Secret that is there the chart knows nothing. */}}
{{- define "koi.checkSecrets" -}}
{{- $made := append (keys .Values.secrets.data) "lan.key" -}}
{{- if .Values.log.embedded.enabled -}}
{{- $made = append $made "nats.pass" -}}
{{- end -}}
{{- range $file := regexFindAll "/etc/koi/secrets/[^\"]+" (list .Values.config .Values.nodes | toJson) -1 -}}
{{- $name := trimPrefix "/etc/koi/secrets/" $file -}}
{{- if not (has $name $made) -}}
{{- fail (printf "secrets.data.%s is missing: the configuration names the file %s. Give its content there, or a Secret of yours that has it in secrets.existing" $name $file) -}}
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
