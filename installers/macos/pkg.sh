#!/bin/sh
# On a Mac, in a checkout: makes omnifs-VERSION.pkg of a release build. Not run yet: see docs/nfs.md.
set -eu
version=$(sed -n '/^\[workspace.package\]/,/^version/s/^version = "\(.*\)"/\1/p' Cargo.toml)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cargo xtask build --release
mkdir -p "$root/usr/local/bin" "$root/usr/local/share/man/man1" "$root/usr/local/share/doc/omnifs"
install -m 755 target/release/omnifs "$root/usr/local/bin/omnifs"
install -m 644 LICENSE-MIT LICENSE-APACHE "$root/usr/local/share/doc/omnifs"
target/release/omnifs reference --man "$root/usr/local/share/man/man1"
# codesign and notarytool need the maintainer's Apple identity: RELEASING.md.
[ -z "${SIGN_APPLICATION:-}" ] || codesign --options runtime --timestamp --sign "$SIGN_APPLICATION" "$root/usr/local/bin/omnifs"
pkgbuild --root "$root" --identifier org.omnifs --version "$version" ${SIGN_INSTALLER:+--sign "$SIGN_INSTALLER"} "omnifs-$version.pkg"
