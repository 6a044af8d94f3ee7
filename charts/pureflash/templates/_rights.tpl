{{- /*
What the operator does at the API server, and nothing else: a test runs it with exactly this and holds each verb against what was used.
Server-side apply of an object that is not there needs create beside patch. An owner reference that blocks the owner's deletion needs
the right to update the owner's finalizers where the API server enforces that.
*/ -}}
{{- define "pureflash.namespacedRules" -}}
- apiGroups: [pureflash.io]
  resources: [storageclusters, volumes]
  verbs: [list, watch, patch]
- apiGroups: [pureflash.io]
  resources: [storageclusters/finalizers]
  verbs: [update]
- apiGroups: [pureflash.io]
  resources: [storageclusters/status, stores/status, volumes/status]
  verbs: [patch]
- apiGroups: [pureflash.io]
  resources: [stores]
  verbs: [list, watch, create, patch]
- apiGroups: ['']
  resources: [configmaps, services]
  verbs: [list, watch, create, patch]
- apiGroups: ['']
  resources: [serviceaccounts]
  verbs: [list, watch, create, patch, delete]
- apiGroups: ['']
  resources: [secrets]
  verbs: [get, create]
- apiGroups: ['']
  resources: [pods]
  verbs: [list, watch, create, delete]
- apiGroups: ['']
  resources: [persistentvolumeclaims]
  verbs: [list, watch, delete]
- apiGroups: [apps]
  resources: [statefulsets, daemonsets, deployments]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [rolebindings]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- define "pureflash.clusterWideRules" -}}
- apiGroups: ['']
  resources: [nodes]
  verbs: [list, watch]
- apiGroups: ['']
  resources: [persistentvolumes]
  verbs: [list, watch, create, delete]
- apiGroups: [storage.k8s.io]
  resources: [storageclasses, csidrivers]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterrolebindings]
  verbs: [list, watch, create, patch, delete]
# A binding may name these roles and no others.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterroles]
  resourceNames:
    - {{ include "pureflash.csiRole" . }}
    - {{ include "pureflash.csiRole" . }}-leases
  verbs: [bind]
{{- end }}
