#!/bin/sh
# The first process of a node, in process and mount namespaces of its own: when it ends, everything on the node ends, and every
# mount with it. Started by cluster-node.ts.     usage: node-init.sh FOLDER CONTAINERD KUBELET [FLAG...]
set -eu
node=$1 containerd=$2; shift 2
# The node has these folders for itself; programs and manifests find everything at its usual place.
for place in run var/lib var/log; do mount --bind "$node/$place" "/$place"; done
# What a pod mounts for others is seen by the whole node and not beyond it.
mount --make-rshared /
"$containerd" --config "$node/containerd.toml" >"$node/containerd.log" 2>&1 &
# kubelet ends when it finds containerd half ready: like any node's supervisor, start it again, but not for ever.
# Not exec: this shell stays to collect what the containers leave.
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  "$@" >>"$node/kubelet.log" 2>&1 || echo "kubelet ended with exit status $? (attempt $attempt)" >>"$node/kubelet.log"
  sleep 0.3
done
exit 1
