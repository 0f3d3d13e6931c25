#!/volant/busybox sh
# The first program of a guest with a root disk: it finds the disk, and goes on with the init that is there.
#
# The disk is the virtio disk with the serial "root", else the first one. What goes on is /volant/init where the image
# has one, else the image's own /sbin/init.

/volant/busybox mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1

fail() {
  echo "volant: $1"
  echo -1 >/proc/sys/kernel/panic
  echo 0 >/proc/sys/kernel/printk
  exit 1
}

find_root() {
  local block serial
  root=
  for block in /sys/block/vd*; do
    [ -e "$block" ] || continue
    serial=
    [ -e "$block/serial" ] && read -r serial <"$block/serial"
    [ "$serial" != root ] || { root=/dev/${block##*/}; return 0; }
    [ "$serial" = seed ] || root=${root:-/dev/${block##*/}}
  done
  [ -n "$root" ]
}

while read -r module; do insmod "/volant/modules/$module"; done </volant/modules/all

tries=100
until find_root; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || fail "cannot find a root disk"
  usleep 50000
done

mount -t ext4 -o rw,noatime "$root" /root || fail "cannot mount the root disk $root"
# The disk may have been made larger since.
/volant/grow /root "$root" || echo "volant: cannot grow the file system on $root (error $?)"
mkdir -p /root/proc /root/sys /root/dev /root/run /root/tmp /root/etc
mount --move /sys /root/sys
mount --move /dev /root/dev
# The last one: without it the shell does not find its own applets.
/volant/busybox mount --move /proc /root/proc
if [ -x /root/volant/init ]; then
  exec /volant/busybox switch_root /root /volant/init disk
fi
exec /volant/busybox switch_root /root /sbin/init
