# The guest's network, from the words of the kernel command line. Sourced by init.sh; functions only.

connect() {
  local device nic=
  # The workload is all there is in the machine: whoever it runs as may offer any port.
  echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
  ip link set lo up
  for device in /sys/class/net/*; do
    [ "${device##*/}" = lo ] || { nic=${device##*/}; break; }
  done
  [ -n "$nic" ] || return 0
  case $ip in
    dhcp) ip link set "$nic" ${mtu:+mtu "$mtu"} up && ask_for_address "$nic" ;;
    *) set_addresses "$nic" ;;
  esac
}

set_addresses() { # set_addresses NIC
  local own=/proc/sys/net/ipv6/conf/$1
  # What the host says is all there is: no router is believed, and nobody else can have this address.
  [ ! -e "$own" ] || { echo 0 >"$own/accept_ra"; echo 0 >"$own/accept_dad"; }
  ip link set "$1" ${mtu:+mtu "$mtu"} up
  [ -z "$ip" ] || ip addr add "$ip" dev "$1"
  [ -z "$gw" ] || ip route add default via "$gw" dev "$1"
  [ -z "$ip6" ] || ip addr add "$ip6" dev "$1"
  [ -z "$gw6" ] || ip -6 route add default via "$gw6" dev "$1"
  [ -z "$dns" ] || name_servers "$dns"
}

name_servers() { # name_servers A,B
  local server IFS=,
  # Often a link into a directory of a program that does not run here.
  rm -f /etc/resolv.conf
  for server in $1; do echo "nameserver $server"; done >/etc/resolv.conf
}

ask_for_address() { # ask_for_address NIC
  # Goes on in the background, with or without an address: a lease has to be renewed, and a server may come later.
  udhcpc -i "$1" -s /volant/dhcp.sh -x "hostname:$name" -t 5 -T 1 -b >/dev/null 2>&1
}
