{{- define "rekeyd.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "rekeyd.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "rekeyd.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "rekeyd.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "rekeyd.selector" -}}
app.kubernetes.io/name: {{ include "rekeyd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "rekeyd.labels" -}}
{{ include "rekeyd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "rekeyd.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "rekeyd.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "rekeyd.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* The config of the values, over what the pods need. A folder of its own in each volume: the volume's root belongs to others, too. */ -}}
{{- define "rekeyd.config" -}}
{{- $pod := dict "data_dir" "/data/rekeyd" "http" (dict "listen" "0.0.0.0:8080") }}
{{- mergeOverwrite $pod (deepCopy .Values.config) | toYaml }}
{{- end }}

{{- /* Where probes, metrics and public JWK Sets are: `http.public` where it is set, else beside the API. */ -}}
{{- define "rekeyd.open" -}}
{{- $http := (include "rekeyd.config" . | fromYaml).http }}
{{- if $http.public -}}
{"port": "public", "scheme": "HTTP"}
{{- else -}}
{"port": "http", "scheme": {{ ternary "HTTPS" "HTTP" (hasKey $http "tls") | quote }}}
{{- end }}
{{- end }}

{{- define "rekeyd.portOf" -}}
{{- regexFind "[0-9]+$" . }}
{{- end }}
