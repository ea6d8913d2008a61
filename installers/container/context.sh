#!/bin/sh
# Makes the directory that the images of the Containerfile are built of, from a program that was built on this system:
#   sh context.sh /usr/bin/omnifs DIR
#   docker build -t omnifs-relay --target relay -f DIR/Containerfile DIR
set -eu
program=$1 context=$2
here=$(dirname "$0")
root=$context/root
mkdir -p "$root/usr/bin" "$root/etc/ssl/certs" "$root/root" "$root/omnifs" "$root/tmp" "$context/state"
cp "$program" "$root/usr/bin/omnifs"
# The loader is among them. Where one is found is where the program will look for it.
for library in $(ldd "$program" | grep -o '/[^ ]*'); do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
printf 'root:x:0:0:root:/root:/usr/bin/omnifs\nrelay:x:65532:65532:relay:/var/lib/omnifs-relay:/usr/bin/omnifs\n' > "$root/etc/passwd"
chmod -R u=rwX,go=rX "$root"
chmod 700 "$context/state"
chmod 1777 "$root/tmp"
cp "$here/Containerfile" "$context/"
