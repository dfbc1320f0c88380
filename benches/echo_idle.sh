#!/usr/bin/env bash
# What idle timeouts cost the echo program: processor time a message, without them and with one
# that every message puts off, on 10,000 connections. By turns, and the median of the rounds.
#
#   benches/echo_idle.sh [ROUNDS [CONNECTIONS [SECONDS]]]      needs a limit of open files above that

set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5} connections=${2:-10000} seconds=${3:-5}

cargo build --release --quiet -p wheelhouse-echo -p wheelhouse-load
target=${CARGO_TARGET_DIR:-target}/release

# Nanoseconds of processor time that the server spent on a message.
measure() {
    local out server address ticks messages
    out=$(mktemp)
    "$target/wheelhouse-echo" --tcp 127.0.0.1:0 --json "$@" >"$out" &
    server=$!
    until grep -q listening "$out"; do sleep 0.05; done
    address=$(sed -n 's/.*"address":"\([^"]*\)".*/\1/p' "$out" | head -n 1)
    "$target/wheelhouse-load" --connections "$connections" --duration "${seconds}s" \
        "tcp://$address" >/dev/null
    # User and system time, after the name in brackets.
    ticks=$(sed 's/.*) //' "/proc/$server/stat" | awk '{ print $12 + $13 }')
    kill -TERM "$server"
    wait "$server" || true
    messages=$(sed -n 's/.*"event":"end".*"messages":\([0-9]*\).*/\1/p' "$out")
    rm -f "$out"
    awk -v ticks="$ticks" -v messages="$messages" -v hertz="$(getconf CLK_TCK)" \
        'BEGIN { printf "%.0f\n", ticks / hertz * 1e9 / messages }'
}

median() { sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

without=() with=()
for ((round = 1; round <= rounds; round++)); do
    without+=("$(measure)")
    with+=("$(measure --idle-timeout 30s)")
    echo "round $round: without ${without[-1]} ns a message, with ${with[-1]} ns"
done
one=$(printf '%s\n' "${without[@]}" | median)
other=$(printf '%s\n' "${with[@]}" | median)
awk -v one="$one" -v other="$other" \
    'BEGIN { printf "median: without %d ns, with %d ns: %+.1f %%\n", one, other, (other / one - 1) * 100 }'
