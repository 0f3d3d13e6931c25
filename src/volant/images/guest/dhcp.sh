#!/volant/busybox sh
# What udhcpc runs when the lease changes: dhcp.sh deconfig|bound|renew|leasefail|nak, the lease in the environment.

case $1 in
  deconfig)
    ip -4 addr flush dev "$interface"
    ;;
  bound | renew)
    if ! ip -4 addr show dev "$interface" | grep -q "inet $ip/${mask:-32} "; then
      ip -4 addr flush dev "$interface"
      ip addr add "$ip/${mask:-32}" dev "$interface"
      for router in $router; do
        ip route add default via "$router" dev "$interface" && break
      done
      echo "volant: address $ip/${mask:-32}" >/dev/console
    fi
    if [ -n "$dns" ]; then
      rm -f /etc/resolv.conf
      { [ -z "$domain" ] || echo "search $domain"; for server in $dns; do echo "nameserver $server"; done; } \
        >/etc/resolv.conf
    fi
    ;;
esac
