# The demo guest's workload: one page with the VM's name and address, served by busybox. Run by `sh`.

read -r _ _ release _ </proc/version
read -r uptime _ </proc/uptime
cat >/www/index.html <<PAGE
<!doctype html>
<title>$HOSTNAME</title>
<h1>Hello from $HOSTNAME</h1>
<p>address: $VOLANT_ADDRESS</p>
<p>kernel: $release</p>
<p>up after: $uptime s</p>
PAGE
exec httpd -f -p "${VOLANT_PORT:-8080}" -h /www
