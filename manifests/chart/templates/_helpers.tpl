{{- define "digits.data" -}}
BASE_PATH: /{{ .Release.Namespace }}/digits
MAX_IN_FLIGHT: '256'
MODEL_BYTES: '268435456'
MODEL_NAME: digits
MODEL_URL: s3://models/digits/{{ .Values.version }}
MODEL_VERSION: '{{ .Values.version }}'
SERVICE_ENDPOINT: http://digits.{{ .Release.Namespace }}.svc:8080
SHUTDOWN_SECONDS: '10'
STORAGE_ENDPOINT: http://seaweedfs.mlk8s-system.svc:8333
{{- end }}
{{- define "digits.hash" -}}
{{ fromYaml (include "digits.data" .) | toRawJson | sha256sum | trunc 10 }}
{{- end }}
