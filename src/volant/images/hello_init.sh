#!/bin/sh
# The first and only program of the demo guest.
#
# Told by the kernel command line:
#   volant.ip=10.0.2.15/24   the guest's own address         volant.gw=10.0.2.2      its way out (optional)
#   volant.name=web-1        the VM's name                   volant.address=...      the address users reach it at
#   volant.port=8080         where its page is served        volant.mtu=1500         (optional)
# Tells: "volant: ready" on the console when the page is served.
# Leaves when the host asks: a line `shutdown` or `reboot` on the virtio-serial port org.volant.agent.0, or the power
# button.
#
# Every command is an applet of one busybox, whose shell finds its applets by /proc/self/exe: nothing but the first mount
# needs a path. Whatever the page does not need comes after it: each program started is time.

/bin/busybox mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null

ip= gw= name=hello address= port=8080 mtu=
read -r cmdline </proc/cmdline
for word in $cmdline; do
  case $word in
    volant.ip=*) ip=${word#*=} ;;
    volant.gw=*) gw=${word#*=} ;;
    volant.name=*) name=${word#*=} ;;
    volant.address=*) address=${word#*=} ;;
    volant.port=*) port=${word#*=} ;;
    volant.mtu=*) mtu=${word#*=} ;;
  esac
done
address=${address:-${ip%/*}}

load() {
  while read -r module; do insmod "/modules/$module"; done <"/modules/$1"
}

leave() { # leave poweroff|reboot
  echo "volant: $1"
  killall httpd 2>/dev/null
  sync
  "$1" -f
}

obey_agent() { # the port's device file
  exec 3<>"$1"
  while :; do
    # A write to the port waits until the host has opened its end; a read would return at once instead, and a loop
    # around it would burn the processor of every idle guest. The line itself says that the button works, too.
    echo "volant: agent of $name" >&3
    while read -r order <&3; do
      case $order in
        shutdown) leave poweroff ;;
        reboot) leave reboot ;;
      esac
    done
  done
}

obey_button() { # its events come on descriptor 4
  dd of=/dev/null bs=24 count=1 <&4 2>/dev/null && leave poweroff
}

load network
if [ -n "$ip" ]; then
  ip link set eth0 ${mtu:+mtu "$mtu"} up
  ip addr add "$ip" dev eth0
  [ -n "$gw" ] && ip route add default via "$gw"
fi

read -r _ _ release _ </proc/version
read -r uptime _ </proc/uptime
cat >/www/index.html <<PAGE
<!doctype html>
<title>$name</title>
<h1>Hello from $name</h1>
<p>address: $address</p>
<p>kernel: $release</p>
<p>up after: $uptime s</p>
PAGE
httpd -p "$port" -h /www
echo "volant: ready"

hostname "$name"
ip link set lo up
load extras
for input in /sys/class/input/event*; do
  read -r label <"$input/device/name" || continue
  # Opened here and not in the background: from now on no press is lost.
  if [ "$label" = "Power Button" ] && exec 4<"/dev/input/${input##*/}"; then obey_button & fi
done
for port in /sys/class/virtio-ports/*; do
  read -r label <"$port/name" && [ "$label" = org.volant.agent.0 ] && obey_agent "/dev/${port##*/}" &
done

# The kernel panics when its first program ends.
while :; do
  wait
  sleep 3600
done
