# shellcheck shell=bash
# The other scripts source this file: afterwards `python`, `import gmm_spark` and Spark work.
# The first call creates .venv and finds or installs Java; later calls install nothing.
#   PYTHON     a Python >= 3.10 to make .venv with (default: python3, else the newest found)
#   JAVA_HOME  a Java of version 17 to 23 (default: the one on PATH, else any in /usr/lib/jvm)

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$ROOT/.venv"

say() { printf 'gmm_spark: %s\n' "$*" >&2; }

refuse() { # what, got, expected, do
  say "$1: got $2; expected $3. $4"
  exit 1
}

may_install() { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# Installs the first of these packages that the system has, without questions.
system_install() {
  local package
  may_install || return 1
  for package in "$@"; do
    say "installing $package from the system's packages"
    if command -v apt-get >/dev/null; then
      as_root apt-get update -qq >&2 || true # old lists may do
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$package" >&2 && return
    elif command -v dnf >/dev/null; then
      as_root dnf install -q -y "$package" >&2 && return
    elif command -v apk >/dev/null; then
      as_root apk add -q "$package" >&2 && return
    fi
  done
  return 1
}

# ---- Python ---------------------------------------------------------------------------------------------------------

# Prints the interpreter behind $1 (behind a shim or an active environment too); fails where it is older than 3.10.
interpreter() {
  "$1" -c 'import sys
if sys.version_info < (3, 10): sys.exit(1)
print(getattr(sys, "_base_executable", sys.executable))' 2>/dev/null
}

find_python() {
  local name
  for name in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.10; do
    interpreter "$name" && return
    [ -z "${PYTHON:-}" ] || break # a wrong PYTHON is refused, not skipped
  done
  refuse "no usable Python" "${PYTHON:-$(python3 --version 2>/dev/null || echo "no python3 on PATH")}" \
    "Python 3.10 or newer" "Install one, or set PYTHON to its path."
}

# Debian's python3 comes without the module that puts pip into a new environment.
ensure_venv_module() {
  local package
  "$1" -c 'import ensurepip, venv' 2>/dev/null && return
  package="$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
  { command -v apt-get >/dev/null && system_install "$package"; } && "$1" -c 'import ensurepip, venv' 2>/dev/null ||
    refuse "cannot make .venv" "$1 without ensurepip" "Python with its venv module" "Run: sudo apt-get install $package"
}

# Identifies the content of .venv. Line 1: the Python and the path of .venv, which its scripts contain. Line 2: packages.
fingerprint() {
  "$1" -c 'import hashlib, sys
print("%d.%d" % sys.version_info[:2], sys.argv[1])
print(hashlib.sha256(b"".join(open(name, "rb").read() for name in sys.argv[2:])).hexdigest())' \
    "$VENV" "$ROOT/requirements.lock" "$ROOT/pyproject.toml"
}

venv_is_ready() {
  [ -x "$VENV/bin/python" ] && [ -f "$VENV/stamp" ] || return 1
  [ "$(cat "$VENV/stamp")" = "$(fingerprint "${PYTHON:-$VENV/bin/python}" 2>/dev/null)" ]
}

# Other packages are installed over the old ones. For another Python, or a tree that was moved or copied, .venv is
# created again; also without a stamp: the installation was killed, and pip counts an incomplete package as installed.
venv_is_sound() {
  [ -x "$VENV/bin/python" ] && [ -f "$VENV/stamp" ] || return 1
  [ "$(sed -n 1p "$VENV/stamp")" = "$(fingerprint "$1" | sed -n 1p)" ]
}

make_venv() {
  local python pip=("$VENV/bin/python" -m pip install --quiet --disable-pip-version-check)
  python="$(find_python)"
  say "installing the packages of requirements.lock into .venv; once, a few minutes"
  venv_is_sound "$python" || {
    ensure_venv_module "$python"
    "$python" -m venv --clear "$VENV"
  }
  rm -f "$VENV/stamp" # written again after the last step
  "${pip[@]}" --require-hashes -r "$ROOT/requirements.lock" >&2
  "${pip[@]}" --no-deps --no-build-isolation -e "$ROOT" >&2
  fingerprint "$VENV/bin/python" >"$VENV/stamp.new"
  mv "$VENV/stamp.new" "$VENV/stamp"
}

# If two scripts start together, one installs and the other waits. pip inherits the lock: if this script is killed
# and pip continues alone, the next script waits for it too. (macOS has no flock.)
ensure_venv() {
  venv_is_ready && return
  {
    if command -v flock >/dev/null; then
      flock -n 9 || { say "waiting for another script that is installing" && flock 9; }
    fi
    venv_is_ready || make_venv
  } 9<"$ROOT/requirements.lock"
}

# ---- Java -----------------------------------------------------------------------------------------------------------

# The major version of the java at $1, or 0: 17 for `openjdk version "17.0.15"`, 8 for "1.8.0_402".
java_version() {
  local version
  version="$("$1" -version 2>&1 | sed -nE 's/.* version "(1\.)?([0-9]+).*/\2/p' | head -n 1)" || true
  echo "${version:-0}"
}

# Spark 4 needs 17. On 24 and later Spark 4.1 starts and then hangs: its Hadoop and Arrow use removed parts of Java.
java_is_usable() {
  local version
  version="$(java_version "$1")"
  [ "$version" -ge 17 ] && [ "$version" -le 23 ]
}

# Spark uses JAVA_HOME first, then the PATH.
java_in_use() { if [ -n "${JAVA_HOME:-}" ]; then echo "$JAVA_HOME/bin/java"; else echo java; fi; }

java_found() {
  local version
  version="$(java_version "$(java_in_use)")"
  if [ "$version" = 0 ]; then echo "no $(java_in_use)"; else echo "$(java_in_use) of version $version"; fi
}

find_java() {
  local home
  java_is_usable "$(java_in_use)" && return
  if java_is_usable java; then
    unset JAVA_HOME
    return
  fi
  for home in /usr/lib/jvm/* /Library/Java/JavaVirtualMachines/*/Contents/Home; do
    if java_is_usable "$home/bin/java"; then
      export JAVA_HOME="$home"
      return
    fi
  done
  return 1
}

java_packages() {
  if command -v apt-get >/dev/null; then
    echo openjdk-17-jre-headless openjdk-21-jre-headless
  elif command -v dnf >/dev/null; then
    echo java-17-openjdk-headless java-21-openjdk-headless
  else
    echo openjdk17-jre-headless
  fi
}

ensure_java() {
  local given="${JAVA_HOME:-}" packages
  packages="$(java_packages)"
  # shellcheck disable=SC2086 # a list of names
  find_java || { system_install $packages && find_java; } ||
    refuse "no usable Java" "$(java_found)" "Java 17 to 23" \
      "Install it (package ${packages%% *}), or set JAVA_HOME to its folder."
  [ "${JAVA_HOME:-}" = "$given" ] || say "JAVA_HOME was '${given:-not set}', using '${JAVA_HOME:-java on PATH}'"
}

# ---- Spark ----------------------------------------------------------------------------------------------------------

# Spark must be that of the wheel: the jars of another one do not work with its Python code. SPARK_HOME is set because
# Spark's own search (find-spark-home) fails on a path with spaces.
use_the_wheels_spark() {
  local home
  home="$(echo "$VENV"/lib/python*/site-packages/pyspark)"
  case "${SPARK_HOME:-$home}" in
    "$home") ;;
    *) say "not using SPARK_HOME=$SPARK_HOME: Spark comes with .venv" ;;
  esac
  export SPARK_HOME="$home"
}

ensure_venv
ensure_java
use_the_wheels_spark
export PATH="$VENV/bin:$PATH"
# One BLAS thread in each Python, also in the driver of a local master: cores x cores threads slow each other.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
export PYSPARK_PYTHON="$VENV/bin/python" PYSPARK_DRIVER_PYTHON="$VENV/bin/python" # workers and driver alike
