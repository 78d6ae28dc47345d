#!/bin/sh
# Builds unless the last build is newer than every source: a second `npm start` does not wait for a compiler.
set -eu
cd "$(dirname "$0")/../.."
stamp=dist/.built
if [ -f "$stamp" ] && [ -z "$(find apps libs infra test package-lock.json .swcrc -newer "$stamp" -print -quit)" ]; then
  exit 0
fi
# From before the compiler reads: what is edited meanwhile is built again next time.
mkdir -p dist
touch "$stamp.begun"
npm run --silent build
mv "$stamp.begun" "$stamp"
