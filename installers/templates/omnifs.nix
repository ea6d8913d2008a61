# Nix: callPackage ./omnifs.nix { }
{ lib, stdenv, fetchurl, autoPatchelfHook, installShellFiles }:
let
  archives = {
    x86_64-linux = {
      url = "@URL@/omnifs-@VERSION@-x86_64-linux.tar.gz";
      sha256 = "@SHA256:omnifs-@VERSION@-x86_64-linux.tar.gz@";
    };
@IF:omnifs-@VERSION@-aarch64-linux.tar.gz@    aarch64-linux = {
@IF:omnifs-@VERSION@-aarch64-linux.tar.gz@      url = "@URL@/omnifs-@VERSION@-aarch64-linux.tar.gz";
@IF:omnifs-@VERSION@-aarch64-linux.tar.gz@      sha256 = "@SHA256:omnifs-@VERSION@-aarch64-linux.tar.gz@";
@IF:omnifs-@VERSION@-aarch64-linux.tar.gz@    };
  };
in stdenv.mkDerivation rec {
  pname = "omnifs";
  version = "@VERSION@";
  src = fetchurl archives.${stdenv.hostPlatform.system};
  nativeBuildInputs = [ autoPatchelfHook ];
  buildInputs = [ stdenv.cc.cc.lib ];
  installPhase = ''
    mkdir -p $out
    cp -r bin sbin share lib $out/
    substituteInPlace $out/lib/systemd/*/* --replace-quiet /usr/bin/omnifs $out/bin/omnifs
  '';
  meta = {
    description = "Mounts remote services as ordinary files";
    homepage = "@HOME@";
    license = [ lib.licenses.mit lib.licenses.asl20 ];
    platforms = builtins.attrNames archives;
    mainProgram = "omnifs";
  };
}
