# packages.sh -- sourced by the two commands of a fresh machine: what is needed, installed if it may.

# To build the libraries and the program.
BUILD_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config protobuf-c-compiler libprotobuf-c-dev
  libsqlite3-dev libwebsockets-dev libwebsockets-evlib-ev libev-dev zlib1g-dev libssl-dev
  libxxhash-dev libjansson-dev libcurl4-openssl-dev"
# ... and to test them.
TEST_PACKAGES="$BUILD_PACKAGES check protobuf-compiler python3 python3-protobuf python3-websockets python3-xxhash
  curl git valgrind"
# ... and for the browser's client: C to WebAssembly (besides Node.js with npm).
WEB_PACKAGES="clang-16 lld-16 wasi-libc libclang-rt-16-dev-wasm32 protobuf-c-compiler
  libprotobuf-c-dev python3"
# ... and to try it in a real browser.
BROWSER_PACKAGES="chromium"
# ... and for the fuzzers and the look of the code.
CLANG_PACKAGES="clang-16 libclang-rt-16-dev clang-format-16"

# Those of its arguments that are not installed.
missing_packages() {
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
      printf '%s ' "$package"
  done
}

# Installs what is missing of its arguments, or says how and fails.
need_packages() {
  command -v dpkg-query >/dev/null || {
    echo "this system has no dpkg: install these by hand: $*" >&2
    return 1
  }
  local missing sudo=""
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    sudo="sudo"
    sudo -n true 2>/dev/null || {
      echo "these packages are missing; run this once, then again what you ran:" >&2
      echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing" >&2
      return 1
    }
  fi
  echo "installing: $missing"
  # shellcheck disable=SC2086
  $sudo apt-get update -qq &&
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      $missing >/dev/null
}
