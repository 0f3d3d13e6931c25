#!/volant/busybox sh
# The first program of every guest that Volant builds: it makes the machine ready, starts the workload, and ends the
# machine when the workload ends or the host asks for it.
#
#   kernel words ─▶ network.sh ┐                                   agent port, power button
#   seed disk ────▶ seed.sh    ├─▶ before ─▶ the workload                    │
#   /volant/workload ──────────┘                 │◀── stop signal, 25 s, kill ┘
#                                                ▼
#                                        leave.sh: power off, reboot or fail
#
# Begun as `init disk` on a root disk (by boot.sh, which has mounted /proc, /sys and /dev), as `init` in memory.
#
# Tells on the console: "volant: ready" when the workload starts, "volant: workload ended with status N", and the way it
# leaves: "volant: poweroff", "volant: reboot" or "volant: failed".
#
# Every command is an applet of one static busybox, whose shell finds its applets by /proc/self/exe: nothing but the
# first mount needs a path, and nothing of the image is run but what the image and the user name.

if [ "$1" != disk ]; then
  /volant/busybox mount -t proc proc /proc
  mount -t sysfs sys /sys
  mount -t devtmpfs dev /dev
fi
# Once more, because programs open /dev/stdout anew: the device that was there at first is not the one that is now.
exec </dev/console >/dev/console 2>&1
umask 022

STATE=/run/volant
SEED=$STATE/seed
NEWLINE="
"
name=guest ip= gw= ip6= gw6= dns= mtu= address= port=
argc=0 envc=0 beforec=0 user= cwd=/ stop=SIGTERM path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin home=

say() { echo "volant: $*"; }

# The words of /volant/workload and of the seed. Each line there is a call.
argv() { argc=$((argc + 1)); eval "argv_$argc=\$1"; }
before() { beforec=$((beforec + 1)); eval "before_$beforec=\$1"; }
user() { user=$1; }
cwd() { cwd=$1; }
stop() { stop=$1; }
env() {
  envc=$((envc + 1))
  eval "env_$envc=\$1"
  case $1 in PATH=*) path=${1#*=} ;; HOME=*) home=${1#*=} ;; esac
}

. /volant/network.sh
. /volant/seed.sh
. /volant/run.sh
. /volant/leave.sh

read_words() {
  local words word
  read -r words </proc/cmdline
  set -f
  for word in $words; do
    case $word in
      volant.name=*) name=${word#*=} ;;
      volant.ip=*) ip=${word#*=} ;;
      volant.gw=*) gw=${word#*=} ;;
      volant.ip6=*) ip6=${word#*=} ;;
      volant.gw6=*) gw6=${word#*=} ;;
      volant.dns=*) dns=${word#*=} ;;
      volant.mtu=*) mtu=${word#*=} ;;
      volant.address=*) address=${word#*=} ;;
      volant.port=*) port=${word#*=} ;;
    esac
  done
  set +f
}

load() { # load LIST: modules of a guest in memory; those of a root disk are loaded already
  local module
  [ -e "/volant/modules/$1" ] || return 0
  while read -r module; do insmod "/volant/modules/$module"; done <"/volant/modules/$1"
}

has_disks() {
  local device kind
  for device in /sys/bus/virtio/devices/*/device; do
    [ -e "$device" ] && read -r kind <"$device" && [ "$kind" = 0x0002 ] && return 0
  done
  return 1
}

name_disks() { # /dev/disk/by-id/virtio-NAME
  local block serial
  for block in /sys/block/vd*; do
    serial=
    [ -e "$block/serial" ] && read -r serial <"$block/serial"
    [ -n "$serial" ] || continue
    mkdir -p /dev/disk/by-id
    ln -sf "../../${block##*/}" "/dev/disk/by-id/virtio-$serial"
  done
}

make_scratch() { # on a root disk, so that nothing is found there that an earlier boot has left
  mkdir -p /run /tmp /volant/scratch
  mount -t tmpfs -o mode=755,nosuid,nodev run /volant/scratch
  # A copy, because packages bring directories with owners of their own below /run.
  cp -a /run/. /volant/scratch/
  mount --move /volant/scratch /run
  mount -t tmpfs -o mode=1777,nosuid,nodev tmp /tmp
}

make_devices() {
  # /dev/{fd,stdin,stdout,stderr} and two directories, by one program: each one started is time.
  cp -a /volant/dev/. /dev/
  mount -t tmpfs -o mode=1777,nosuid,nodev shm /dev/shm
  mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
}

set_name() {
  local line lines= own=127.0.1.1
  case $ip in */*) own=${ip%/*} ;; esac
  if [ -e /etc/hosts ]; then
    while read -r line; do case $line in *'# volant') ;; *) lines="$lines$line$NEWLINE" ;; esac; done </etc/hosts
  else
    lines="127.0.0.1 localhost$NEWLINE::1 localhost$NEWLINE"
  fi
  echo "$lines$own $name # volant" >/etc/hosts
  echo "$name" >/etc/hostname
  echo "$name" >/proc/sys/kernel/hostname
}

read_words
load network
[ "$1" != disk ] || make_scratch
[ -d "$STATE" ] || mkdir -p "$STATE" /etc
make_devices
[ -e /bin/sh ] || { mkdir -p /bin && ln -s /volant/busybox /bin/sh; }
if has_disks; then
  load disks
  name_disks
  find_seed
fi
[ ! -r /volant/workload ] || . /volant/workload
connect
read_seed
set_name
listen &
listener=$!
follow_seed
run_before
run_workload
