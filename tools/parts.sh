#!/usr/bin/env bash
# Make each target in turn, whatever becomes of the others; then a line for each with its seconds. Fails if one failed.
#
#     tools/parts.sh "make --no-print-directory" TARGET...
set -uo pipefail
read -ra make <<<"$1"
said=() failed=0
for target in "${@:2}"; do
  echo "== $target"
  start=$SECONDS how=passed
  "${make[@]}" "$target" || how=FAILED failed=1
  said+=("$target: $how, $((SECONDS - start)) s")
done
echo
printf '%s\n' "${said[@]}"
exit $failed
