#!/usr/bin/env bash
# Browser tests drive the system's Chromium. Where there is none and this user may, Debian's package is installed;
# elsewhere the tests skip with a reason, and in CI (CI=true) they fail.
set -eu

for name in chromium chromium-browser google-chrome google-chrome-stable; do
  if command -v "$name" >/dev/null; then exit 0; fi
done

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing Chromium for the browser tests ..." >&2
  export DEBIAN_FRONTEND=noninteractive
  if apt-get -qq update >&2 && apt-get -qq install --yes --no-install-recommends chromium >&2; then exit 0; fi
fi

echo "*** NO CHROMIUM: the browser tests will not run. Install Chromium or Google Chrome to run them. ***" >&2
