#!/usr/bin/env bash
# Browser tests drive the system's Chromium, PDF tests need the libraries of WeasyPrint, and Node plays the script that k6
# would. What is missing is installed as Debian's packages where this user may; elsewhere the tests skip with a reason,
# and in CI (CI=true) they fail.
set -eu

browser() {
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null; then return 0; fi
  done
  return 1
}

pdf() {  # without Pango the import fails; without HarfBuzz's subsetting it warns, which the tests take for an error
  .venv/bin/python -c 'import sys; from weasyprint.text import ffi; sys.exit(not ffi.harfbuzz_subset)' >/dev/null 2>&1
}

javascript() {
  command -v node >/dev/null
}

missing=()
browser || missing+=(chromium)
pdf || missing+=(libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0)
javascript || missing+=(nodejs)
if [ "${#missing[@]}" = 0 ]; then exit 0; fi

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing for the tests: ${missing[*]} ..." >&2
  export DEBIAN_FRONTEND=noninteractive
  if apt-get -qq update >&2; then
    apt-get -qq install --yes --no-install-recommends "${missing[@]}" >&2 || true  # what is still missing is said below
  fi
fi

browser || echo "*** NO CHROMIUM: the browser tests will not run. Install Chromium or Google Chrome. ***" >&2
pdf || echo "*** NO PANGO: the PDF tests will not run. Install the libraries Pango and HarfBuzz. ***" >&2
javascript || echo "*** NO NODE: the tests of the script for k6 will not run. Install Node 18 or newer. ***" >&2
