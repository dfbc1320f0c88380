#!/usr/bin/env bash
# The highest rate that one core can offer, closed loop over HTTP/1.1 with keep-alive: wrk, h2load and
# wheelhouse-load in turn against the same nginx, which has the other core. What nginx cannot carry
# none of them can show, so the processor time for each request stands beside the rate. A server that
# has to wake its client for each answer is slower than one whose client is awake: so the last is
# measured as it comes, and with --spin 0s, when it only sleeps, as the others do.
#
#   benches/load/rate.sh [ROUNDS]     needs nginx, wrk, h2load and two cores

set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-3} connections=64 seconds=5
cargo build --quiet --release -p wheelhouse-load
load=${CARGO_TARGET_DIR:-target}/release/wheelhouse-load
command -v nginx >/dev/null || { echo "SKIPPED: nginx is not installed"; exit 0; }

folder=$(mktemp -d)
port=$((20000 + RANDOM % 20000))
trap 'kill "$(cat "$folder/pid")" 2>/dev/null || true; sleep 0.2; rm -rf "$folder"' EXIT
# nginx reads it as another user.
chmod 755 "$folder"
mkdir "$folder/html"
head -c 612 /dev/zero | tr '\0' x >"$folder/html/index.html"
cat >"$folder/nginx.conf" <<CONF
worker_processes 1; worker_cpu_affinity 10; pid $folder/pid; error_log $folder/error.log;
events { worker_connections 4096; }
http { access_log off; root $folder/html; keepalive_requests 1000000000;
       server { listen 127.0.0.1:$port; } }
CONF
nginx -p "$folder" -c nginx.conf 2>/dev/null
url=http://127.0.0.1:$port/

# measure NAME COMMAND...: the tool's own rate, and its processor time for each of its requests.
measure() {
    local name=$1 out rate cpu
    shift
    command -v "$1" >/dev/null || { echo "$name SKIPPED: it is not installed"; return; }
    out=$( { TIMEFORMAT='cpu %U %S'; time taskset -c 0 "$@"; } 2>&1 )
    rate=$(grep -oE 'Requests/sec:[[:space:]]+[0-9.]+|[0-9.]+ req/s|[0-9,]+ /s$' <<<"$out" | head -1 |
        tr -d ', \ta-zA-Z/:')
    cpu=$(awk '/^cpu / { print $2 + $3 }' <<<"$out")
    awk -v name="$name" -v rate="$rate" -v cpu="$cpu" -v seconds=$seconds 'BEGIN {
        printf "%-16s %9.0f /s  %6.2f us of processor a request\n", name, rate, cpu * 1e6 / (rate * seconds)
    }'
}

for ((round = 0; round < rounds; round++)); do
    measure wrk wrk -t1 -c$connections -d${seconds}s "$url"
    measure h2load h2load --h1 -t1 -c$connections -D$seconds "$url"
    # Both have threads for all processors, and are held to one.
    measure oha oha --no-tui -c $connections -z ${seconds}s "$url"
    GOMAXPROCS=1 measure hey hey -c $connections -z ${seconds}s "$url"
    measure wheelhouse-load "$load" "$url" -q -c $connections -d ${seconds}s --warm-up 0s
    measure "  --spin 0s" "$load" "$url" -q -c $connections -d ${seconds}s --warm-up 0s --spin 0s
done
