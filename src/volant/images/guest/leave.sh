# How the guest ends, and who may ask it to. Sourced by init.sh; functions only.

STOP_S=25

listen() { # in the background: what the host's wishes come in by
  local input port label
  # What runs in front has the processor first: this has time until somebody asks.
  usleep 200000
  load extras
  for input in /sys/class/input/event*; do
    [ -e "$input" ] && read -r label <"$input/device/name" || continue
    # Opened here and not in the background: from now on no press is lost.
    if [ "$label" = "Power Button" ] && exec 4<"/dev/input/${input##*/}"; then obey_button & fi
  done
  for port in /sys/class/virtio-ports/*; do
    [ -e "$port" ] && read -r label <"$port/name" && [ "$label" = org.volant.agent.0 ] && obey_agent "/dev/${port##*/}" &
  done
}

obey_agent() { # the port's device file
  local order
  exec 3<>"$1"
  while :; do
    # A write to the port waits until the host has opened its end; a read would return at once instead, and a loop
    # around it would burn the processor of every idle guest. The line itself says that the button works, too.
    echo "volant: agent of $name" >&3
    while read -r order <&3; do
      case $order in
        shutdown) leave_by poweroff ;;
        reboot) leave_by reboot ;;
      esac
    done
  done
}

obey_button() { # its events come on descriptor 4
  dd of=/dev/null bs=24 count=1 <&4 2>/dev/null && leave_by poweroff
}

leave_by() { # leave_by poweroff|reboot: ask whatever runs in front to end; the first process does the rest
  local pid signal
  [ "$1" != reboot ] || : >"$STATE/reboot"
  : >"$STATE/order"
  [ -e "$STATE/pid" ] || return 0
  until read -r pid signal <"$STATE/pid"; do usleep 1000; done
  kill "-$signal" "$pid" 2>/dev/null
  sleep "$STOP_S"
  kill -KILL "$pid"
}

leave() { # leave STATUS: power off, reboot if that was ordered; fail for a status other than 0 that nobody asked for
  local how=poweroff
  [ ! -e "$STATE/reboot" ] || how=reboot
  # The module that tells the host of a panic may still be on its way.
  [ -e "$STATE/order" ] || [ "$1" = 0 ] || { how=failed; wait "$listener"; }
  say "$how"
  end_others
  sync
  release_disks
  case $how in
    failed) fail "$1" ;;
    *) "$how" -f ;;
  esac
}

end_others() {
  local left=400
  kill -TERM -1
  while [ "$left" -gt 0 ] && has_others; do
    usleep 5000
    left=$((left - 1))
  done
  kill -KILL -1
}

has_others() {
  local program
  for program in /proc/[0-9]*/exe; do
    # Threads of the kernel and zombies have none.
    [ "$program" = /proc/1/exe ] || { [ -e "$program" ] && return 0; }
  done
  return 1
}

release_disks() {
  local device place rest places=
  while read -r device place rest; do
    case $device in /dev/*) places="$place $places" ;; esac
  done </proc/mounts
  for place in $places; do
    if [ "$place" = / ]; then mount -o remount,ro /; else umount -r "$place" 2>/dev/null; fi
  done
}

fail() { # fail STATUS: the end of the first process is a panic, which is how a machine says that it went wrong
  echo -1 >/proc/sys/kernel/panic
  echo 0 >/proc/sys/kernel/printk
  exit "$1"
}
