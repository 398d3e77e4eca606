{{/* What the pods of proxy and control have in common. */}}
{{- define "earthflow.labels" -}}
app: {{ .name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "earthflow.image" -}}
image: {{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- define "earthflow.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "earthflow.spread" -}}
- maxSkew: 1
  topologyKey: {{ .key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {app: {{ .name }}}
{{- end }}

{{- define "earthflow.contained" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 1000
capabilities: {drop: [ALL]}
{{- end }}

{{/* A variable out of a Secret: a list of its name, the Secret's, the key, and whether it may be missing. */}}
{{- define "earthflow.secret" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
      {{- if index . 3 }}
      optional: true
      {{- end }}
{{- end }}

{{- define "earthflow.engines" -}}
{{ include "earthflow.secret" (list "REDIS_PASSWORD" .Values.secrets "redis-password" true) }}
{{- with .Values.urls }}
{{ include "earthflow.secret" (list "EARTHFLOW_REDIS_URL" . "redis-url" true) }}
{{- end }}
{{- end }}

{{/* The settings of the proxy, as a map: what the chart says, then what the values say. */}}
{{- define "earthflow.proxySettings" -}}
EARTHFLOW_CONTROL_URL: http://earthflow-dashboard:8080
{{- if not (hasKey .Values.proxy.settings "EARTHFLOW_FLUSH_SECONDS") }}
EARTHFLOW_FLUSH_SECONDS: "300"
{{- end }}
EARTHFLOW_METRICS_HOST: 0.0.0.0
EARTHFLOW_METRICS_PORT: "9090"
{{- if not (hasKey .Values.proxy.settings "EARTHFLOW_SPOOL_BYTES") }}
EARTHFLOW_SPOOL_BYTES: {{ ternary "" "7516192768" .Values.proxy.durable | quote }}
{{- end }}
EARTHFLOW_START_TIMEOUT: "60"
REDIS_HOST: {{ .Values.redis.host | quote }}
REDIS_PORT: {{ .Values.redis.port | quote }}
{{- if .Values.redis.tls }}
REDIS_TLS: "true"
{{- end }}
{{- if .Values.proxy.tls }}
TLS_CERT_PATH: /etc/earthflow/tls/tls.crt
TLS_KEY_PATH: /etc/earthflow/tls/tls.key
{{- end }}
{{- if .Values.proxy.providers }}
EARTHFLOW_PROVIDERS: /etc/earthflow/providers/providers.yaml
{{- end }}
{{- range $name, $value := .Values.proxy.settings }}
{{ $name }}: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- end }}

{{- define "earthflow.controlSettings" -}}
EARTHFLOW_DASHBOARD_HOST: 0.0.0.0
EARTHFLOW_DASHBOARD_PORT: "8080"
EARTHFLOW_RULES_DIR: /etc/earthflow/rules
EARTHFLOW_START_TIMEOUT: "60"
POSTGRES_DB: {{ .Values.postgres.database | quote }}
POSTGRES_HOST: {{ .Values.postgres.host | quote }}
POSTGRES_PORT: {{ .Values.postgres.port | quote }}
POSTGRES_USER: {{ .Values.postgres.user | quote }}
REDIS_HOST: {{ .Values.redis.host | quote }}
REDIS_PORT: {{ .Values.redis.port | quote }}
{{- if .Values.redis.tls }}
REDIS_TLS: "true"
{{- end }}
{{- range $name, $value := .Values.control.settings }}
{{ $name }}: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- end }}

{{/* Port 443 of the world, and of no network of ours. */}}
{{- define "earthflow.world" -}}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except: {{ toJson .inside }}
    - ipBlock:
        cidr: ::/0
        except: {{ toJson .inside6 }}
  ports:
    - {port: 443}
{{- end }}

{{- define "earthflow.names" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
    # OpenShift
    - {port: 5353, protocol: UDP}
    - {port: 5353, protocol: TCP}
{{- end }}
