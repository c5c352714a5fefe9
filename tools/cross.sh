#!/usr/bin/env bash
# Build the kernels and their checks (tests/native, no Python) for this machine and for aarch64, and run both, aarch64 by
# qemu-user. Then build the Python module for aarch64: it is compiled and linked, not run.
#
#     tools/cross.sh [PYTHON]      PYTHON has nanobind; without it the module is left out
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-}

missing=()
command -v cmake >/dev/null || missing+=(cmake)
command -v ninja >/dev/null || missing+=(ninja-build)
command -v aarch64-linux-gnu-g++ >/dev/null || missing+=(g++-aarch64-linux-gnu)
command -v qemu-aarch64 >/dev/null || missing+=(qemu-user)
if [ ${#missing[@]} -gt 0 ] && command -v apt-get >/dev/null; then
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo -n)
  "${as_root[@]}" apt-get update -q && "${as_root[@]}" apt-get install -yq --no-install-recommends "${missing[@]}" && missing=()
fi
if [ ${#missing[@]} -gt 0 ]; then
  echo "cross skipped: these packages of Debian are missing and could not be installed: ${missing[*]}"
  exit 0
fi

checks() {  # FOLDER, then options of CMake
  cmake -S . -B "$1" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLINPROBE_CHECKS=ON "${@:2}" >"$1.log" 2>&1 || { cat "$1.log"; return 1; }
  cmake --build "$1" --target check_kernels
}
mkdir -p build

echo "== this machine"
[ -n "${CXX:-}" ] || ! command -v g++ >/dev/null || export CXX=g++  # as pip has it: ccache tells c++ from g++
checks build/check-native -DLINPROBE_MODULE=OFF
build/check-native/check_kernels
LINPROBE_BFLOAT16=plain build/check-native/check_kernels

echo "== aarch64"
arm=(-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++)
module=(-DLINPROBE_MODULE=OFF)
if [ -n "$python" ]; then
  headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')  # the same for every 64-bit Linux
  module=(-DLINPROBE_MODULE=ON "-DPython_EXECUTABLE=$python" "-DPython_INCLUDE_DIR=$headers"
    "-Dnanobind_DIR=$("$python" -m nanobind --cmake_dir)")
fi
checks build/check-aarch64 "${arm[@]}" "${module[@]}"
emulated="qemu-aarch64 -L /usr/aarch64-linux-gnu"
LINPROBE_BFLOAT16=plain $emulated -cpu max build/check-aarch64/check_kernels
echo "== aarch64, a processor without the dot products (Cortex-A72: Raspberry Pi 4, Graviton 1)"
$emulated -cpu cortex-a72 build/check-aarch64/check_kernels
if [ -n "$python" ]; then
  cmake --build build/check-aarch64 --target _core
  echo "the Python module compiles and links for aarch64"
fi
