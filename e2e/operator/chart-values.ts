// Values that the chart's schema refuses, each with the field that the refusal has to name.
export interface BadValues {
  readonly what: string;
  /** A values file. */
  readonly yaml: string;
  readonly named: string;
}

export const BAD_VALUES: readonly BadValues[] = [
  { what: 'a field that there is not', yaml: 'replica: 2', named: "additional properties 'replica' not allowed" },
  { what: 'a nested field that there is not', yaml: 'image: {name: x}', named: "at '/image': additional properties 'name'" },
  { what: 'more replicas than stand by', yaml: 'replicas: 3', named: "at '/replicas': maximum" },
  { what: 'a number in words', yaml: 'replicas: two', named: "at '/replicas': got string" },
  { what: 'a tag with a space', yaml: "image: {tag: 'v 1'}", named: "at '/image/tag'" },
  { what: 'a digest without its algorithm', yaml: "image: {digest: '0123abcd'}", named: "at '/image/digest'" },
  { what: 'a pull policy that there is not', yaml: 'image: {pullPolicy: Sometimes}', named: "at '/image/pullPolicy'" },
  { what: 'a registry with a scheme', yaml: "registry: 'https://registry.example'", named: "at '/registry'" },
  { what: 'a secret as a word', yaml: 'imagePullSecrets: [mine]', named: "at '/imagePullSecrets/0'" },
  { what: 'an address that is no CIDR', yaml: "apiServer: {cidrs: ['10.0.0.1']}", named: "at '/apiServer/cidrs/0'" },
  {
    what: 'a port that there is not',
    yaml: 'networkPolicy: {conductorPorts: [70000]}',
    named: "at '/networkPolicy/conductorPorts/0'",
  },
  { what: 'a lease of no time', yaml: 'leaderElection: {leaseSeconds: 0}', named: "at '/leaderElection/leaseSeconds'" },
  { what: 'a namespace in capitals', yaml: 'watchNamespace: Storage', named: "at '/watchNamespace'" },
  { what: 'a word for a switch', yaml: "crds: {install: 'no'}", named: "at '/crds/install'" },
  { what: 'a cluster without stores', yaml: 'cluster: {enabled: true, spec: {}}', named: "at '/cluster/spec'" },
];
