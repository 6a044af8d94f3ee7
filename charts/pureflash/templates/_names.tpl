{{- /* Names, labels and images that several templates share. */ -}}

{{- define "pureflash.name" -}}
{{- printf "%s-operator" (.Release.Name | trunc 50 | trimSuffix "-") }}
{{- end }}

{{- /* Of objects that belong to no namespace: releases of the same name in two namespaces stay apart. */ -}}
{{- define "pureflash.clusterWideName" -}}
{{- printf "%s:%s" .Release.Namespace (include "pureflash.name" .) }}
{{- end }}

{{- /* Of the rights of CSI controllers; "-leases" after it: of their elections. */ -}}
{{- define "pureflash.csiRole" -}}
{{- printf "%s-csi" (include "pureflash.clusterWideName" .) }}
{{- end }}

{{- define "pureflash.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "pureflash.name" .) }}
{{- end }}

{{- /* By these the Deployment finds its pods: never changed. */ -}}
{{- define "pureflash.selector" -}}
app.kubernetes.io/name: pureflash-operator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "pureflash.labels" -}}
{{ include "pureflash.selector" . }}
app.kubernetes.io/part-of: pureflash
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end }}

{{- define "pureflash.prefix" -}}
{{- if .Values.registry }}{{ .Values.registry }}/{{ end }}
{{- end }}

{{- define "pureflash.operatorImage" -}}
{{- with .Values.image }}
{{- $end := ternary (printf "@%s" .digest) (printf ":%s" (.tag | default $.Chart.AppVersion)) (ne (.digest | default "") "") }}
{{- printf "%s%s%s" (include "pureflash.prefix" $) .repository $end }}
{{- end }}
{{- end }}

{{- define "pureflash.daemonImage" -}}
{{- printf "%spureflash:%s" (include "pureflash.prefix" .) .Chart.AppVersion }}
{{- end }}
