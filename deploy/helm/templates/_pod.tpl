{{/* What the pods of all processes and of the release have in common. */}}
{{- define "refill.labels" -}}
app.kubernetes.io/name: refill
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "refill.image" -}}
image: {{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities: { drop: [ALL] }
{{- end }}

{{- define "refill.environment" -}}
- configMapRef: { name: {{ .Release.Name }} }
- secretRef: { name: {{ .Values.secret }} }
{{- end }}

{{- define "refill.pod" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  seccompProfile: { type: RuntimeDefault }
{{- end }}
