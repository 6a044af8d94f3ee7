#!/bin/sh
# Process 1 of the guest (see virtual-machine.ts). The root is the machine's own, read-only; over it lies an overlay in memory, so the
# guest can write anywhere and nothing of it stays. Kernel arguments that the kernel does not know arrive as environment:
#   BUSYBOX  a static busybox     JOB  a folder of the machine, writable: run it/command, leave the status in it/status
#   MODULES_FOLDER, MODULES       kernel modules to load, separated by commas, with "name:argument:argument" for arguments
b=$BUSYBOX
new=/mnt
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t tmpfs memory $new
$b mkdir $new/upper $new/work $new/root

# insert FILE ARGUMENT...: a module and, before it, what it needs.
insert() {
  file=$1
  shift
  needs=$($b grep "^$file:" "$MODULES_FOLDER/modules.dep")
  before=
  for need in ${needs#*:}; do before="$need $before"; done
  for need in $before; do $b insmod "$MODULES_FOLDER/$need" 2>/dev/null; done
  $b insmod "$MODULES_FOLDER/$file" "$@" 2>/dev/null
}
for entry in $(echo "$MODULES" | $b tr , ' '); do
  set -- $(echo "$entry" | $b tr : ' ')
  name=$1
  shift
  file=$($b sed -n "s#^\(.*/$name\.ko\):.*#\1#p" "$MODULES_FOLDER/modules.dep")
  [ -n "$file" ] && insert "$file" "$@"
done

if ! $b mount -t overlay -o "lowerdir=/,upperdir=$new/upper,workdir=$new/work" overlay $new/root; then
  echo 'the guest has no overlay'
  $b poweroff -f
fi
root=$new/root
for folder in proc sys; do $b mount --rbind /$folder $root/$folder; done
$b mount -t devtmpfs devices $root/dev
$b mkdir -p $root/dev/shm
for folder in dev/shm tmp run; do $b mount -t tmpfs memory $root/$folder; done
$b mkdir $root/run/job
$b mount -t hostfs -o "$JOB" none $root/run/job
$b ip link set lo up 2>/dev/null
cd $root
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/tmp $b chroot $root /bin/sh /run/job/command
echo $? >$root/run/job/status
$b sync
$b poweroff -f
